import ArgumentParser
import Converter
import Glibc
import Tensors
import Tokenizers

/// What a language model is asked: texts, or messages that go through its chat template.
struct PromptOptionGroup: ParsableArguments {
  @Option(
    name: [.short, .long], help: ArgumentHelp("The text to continue; may be repeated for a batch.", valueName: "text"))
  var prompt: [String] = []

  @Option(name: [.customShort("f"), .long], help: ArgumentHelp("A file with one prompt a line.", valueName: "file"))
  var file: String?

  @Flag(help: "Each prompt is a message of a user: put it into the model's chat template.")
  var chat = false

  @Option(help: ArgumentHelp("With --chat, the system's message before each prompt.", valueName: "text"))
  var system: String?

  @Option(
    help: ArgumentHelp(
      "A JSON file with messages for the chat template: a list, a list of lists, or an object with messages and tools.",
      valueName: "file"))
  var messages: String?

  @Option(help: ArgumentHelp("A JSON file with a list of tools for the chat template.", valueName: "file"))
  var tools: String?

  @Option(
    help: ArgumentHelp(
      "A JSON object with further names for the chat template, like {\"enable_thinking\": false}.", valueName: "json"))
  var templateOptions: String?

  private var usesTemplate: Bool { chat || messages != nil }

  /// Whether answers stand alone, without the prompt before them.
  var isConversation: Bool { usesTemplate }

  func validate() throws {
    let given = (prompt.isEmpty ? 0 : 1) + (file == nil ? 0 : 1) + (messages == nil ? 0 : 1)
    if given != 1 { throw ValidationError("give one of --prompt, --file and --messages") }
    if chat, messages != nil { throw ValidationError("--chat and --messages exclude each other") }
    if system != nil, !chat { throw ValidationError("--system goes with --chat") }
    if tools != nil || templateOptions != nil, !usesTemplate {
      throw ValidationError("--tools and --template-options go with --chat or --messages")
    }
  }

  /// The prompts and their tokens, special ones included.
  func prompts(_ model: RunnableModel, _ tokenizer: Tokenizer) throws -> [(text: String, tokens: [Int32])] {
    guard usesTemplate else {
      let begin = try model.beginToken
      return try texts().map { text in
        guard let begin else { return (text, try tokenizer.encode(text)) }
        return (text, [begin] + (try tokenizer.encode(text, addSpecialTokens: false)))
      }
    }
    return try conversations(model.loaded).map { ($0, try tokenizer.encode($0, addSpecialTokens: false)) }
  }

  private func texts() throws -> [String] {
    guard let file else { return prompt }
    let lines = try TextFile.lines(file)
    guard !lines.isEmpty else { throw BessemerError(.modelInput, "there are no prompts", file: file) }
    return lines
  }

  private func conversations(_ model: LoadedModel) throws -> [String] {
    var tools = try self.tools.map { file in try inFile(file) { try JSON.parse(TextFile.text(file)) } }
    let options = try templateOptions.map { try JSON.parse($0) }
    let lists: [JSON]
    if let messages {
      var json = try inFile(messages) { try JSON.parse(TextFile.text(messages)) }
      if json.kind == .object {
        tools = try tools ?? json.optional("tools")
        json = try inFile(messages) { try json.required("messages") }
      }
      let elements = Array(try json.asArray())
      lists = elements.first?.kind == .array ? elements : [json]
    } else {
      lists = try texts().map { text in
        var writer = JSONWriter(.compact)
        writer.array { writer in
          for (role, content) in [("system", system), ("user", text)] {
            guard let content else { continue }
            writer.object { writer in
              writer.member("role", role)
              writer.member("content", content)
            }
          }
        }
        return try JSON.parse(writer.text)
      }
    }
    let conversation = try Conversation(model, usesTools: tools != nil)
    return try lists.map { try conversation.prompt($0, tools: tools, options: options, now: today) }
  }

  private var today: TemplateDate {
    var seconds = time(nil)
    var fields = tm()
    localtime_r(&seconds, &fields)
    return TemplateDate(
      year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday),
      hour: Int(fields.tm_hour), minute: Int(fields.tm_min), second: Int(fields.tm_sec))
  }
}
