public import Tensors
public import Tokenizers

/// How a model wants to be talked to: its chat template and special tokens.
public struct Conversation: Sendable {
  private let template: ChatTemplate
  private let tokens: [String: String]
  private let path: String

  /// - Parameter usesTools: which template is taken when the model has one for functions beside the ordinary one.
  /// - Throws: ``ErrorCode/fileMissing`` when the model has no chat template.
  public init(_ model: LoadedModel, usesTools: Bool) throws {
    let settings = try model.files.json("tokenizer_config.json")
    if let file = model.files["chat_template.jinja"] {
      path = file.path
      template = try inFile(file.path) {
        guard let text = file.bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
          throw BessemerError(.wrongFormat, "the chat template is not UTF-8")
        }
        return try ChatTemplate(text)
      }
    } else {
      let source = try settings.flatMap { try Conversation.source($0, usesTools) }
      guard let source, let file = model.files["tokenizer_config.json"] else {
        throw BessemerError(.fileMissing, "the model has no chat template", file: model.path)
      }
      path = file.path
      template = try inFile(file.path) { try ChatTemplate(source) }
    }
    var tokens: [String: String] = [:]
    if let settings {
      for (name, value) in settings.members where name.hasSuffix("_token") {
        tokens[name] = value.string ?? value["content"]?.string
      }
    }
    self.tokens = tokens
  }

  /// The template of tokenizer_config.json: one, or several by name.
  private static func source(_ settings: JSON, _ usesTools: Bool) throws -> String? {
    guard let value = try settings.optional("chat_template") else { return nil }
    guard value.kind == .array else { return try value.asString() }
    let named = try value.elements.map { (try $0.required("name").asString(), try $0.required("template").asString()) }
    let wanted = usesTools ? ["tool_use", "default"] : ["default"]
    return wanted.lazy.compactMap { name in named.first { $0.0 == name }?.1 }.first
  }

  /// The prompt for messages, up to where the answer begins. See ``ChatTemplate/render(_:tools:…)``.
  public func prompt(_ messages: JSON, tools: JSON? = nil, options: JSON? = nil, now: TemplateDate?) throws -> String {
    try inFile(path) { try template.render(messages, tools: tools, tokens: tokens, options: options, now: now) }
  }
}
