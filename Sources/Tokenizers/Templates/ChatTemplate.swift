public import Tensors

/// The chat template of a model: a program in a part of the Jinja language that turns messages into a prompt.
///
/// The language is as published templates use it, with what transformers adds; includes, imports and inheritance are
/// refused. A template has no access to anything but its arguments and is bounded in steps, text and depth.
public struct ChatTemplate: Sendable {
  private let source: String

  /// Bytes of a template at most.
  private static let maximumByteCount = 1 << 20

  /// - Throws: ``ErrorCode/template`` for what is no template.
  public init(_ source: String) throws {
    guard source.utf8.count <= ChatTemplate.maximumByteCount else {
      throw BessemerError(.limit, "the chat template has more than \(ChatTemplate.maximumByteCount) bytes")
    }
    _ = try TemplateParser.parse(source)
    self.source = source
  }

  /// The prompt for messages.
  ///
  /// - Parameters:
  ///   - messages: an array of objects with `role`, `content` and what else the template knows.
  ///   - tools: an array of descriptions of functions, or nil.
  ///   - addGenerationPrompt: whether the beginning of an answer follows the last message.
  ///   - tokens: special tokens by name, such as `bos_token`.
  ///   - options: an object with further names for the template, such as `enable_thinking`.
  ///   - now: the date that templates may ask for; nil when there is none.
  /// - Throws: ``ErrorCode/template`` when the template refuses the messages or does not fit them;
  ///   ``ErrorCode/limit`` when it takes too long.
  public func render(
    _ messages: JSON, tools: JSON? = nil, addGenerationPrompt: Bool = true, tokens: [String: String] = [:],
    options: JSON? = nil, now: TemplateDate? = nil
  ) throws -> String {
    _ = try messages.asArray()
    var names: [String: TemplateValue] = [
      "messages": try TemplateValue(messages), "tools": try tools.map { try TemplateValue($0) } ?? .none,
      "documents": .none, "add_generation_prompt": .bool(addGenerationPrompt),
    ]
    for (name, token) in tokens { names[name] = .text(token) }
    if let options { for (name, value) in try options.asObject() { names[name] = try TemplateValue(value) } }
    var interpreter = TemplateInterpreter(now: now)
    try interpreter.run(TemplateParser.parse(source), in: TemplateScope(names))
    return String(decoding: interpreter.output, as: UTF8.self)
  }
}

/// A day and time, for templates that write the date.
public struct TemplateDate: Sendable {
  private let year, month, day, hour, minute, second: Int

  public init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
    (self.year, self.month, self.day) = (year, month, day)
    (self.hour, self.minute, self.second) = (hour, minute, second)
  }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
  ]
  private static let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

  /// Sunday is 0. Source: Tomohiko Sakamoto's formula.
  private var weekday: Int {
    let offsets = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
    let y = month < 3 ? year - 1 : year
    return (y + y / 4 - y / 100 + y / 400 + offsets[month - 1] + day) % 7
  }

  /// As C's `strftime` in English.
  func formatted(_ format: String) throws -> String {
    func padded(_ number: Int, _ digits: Int = 2) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(digits - text.count, 0)) + text
    }
    var result = ""
    var isField = false
    for character in format {
      guard isField else {
        if character == "%" { isField = true } else { result.append(character) }
        continue
      }
      isField = false
      switch character {
      case "Y": result += padded(year, 4)
      case "y": result += padded(year % 100)
      case "m": result += padded(month)
      case "d": result += padded(day)
      case "B": result += TemplateDate.months[month - 1]
      case "b", "h": result += TemplateDate.months[month - 1].prefix(3)
      case "A": result += TemplateDate.days[weekday]
      case "a": result += TemplateDate.days[weekday].prefix(3)
      case "H": result += padded(hour)
      case "I": result += padded((hour + 11) % 12 + 1)
      case "p": result += hour < 12 ? "AM" : "PM"
      case "M": result += padded(minute)
      case "S": result += padded(second)
      case "%": result += "%"
      default: throw BessemerError(.unsupportedFeature, "dates with %\(character) are not supported")
      }
    }
    return result
  }
}
