import Digests
import Tensors
import Tokenizers

/// Sequences of tokens that show how a model is used.
///
/// A `.jsonl` file has one sequence a line: a text, or an object with `inputs_pretokenized`, `text` or `prompt`, with
/// `messages`, which go through the model's chat template, or with token ids in `input_ids` or `tokens`. A `.json` file
/// is a list of the same. Any other file is text, one sequence a line.
struct CalibrationData {
  let sequences: [[Int32]]
  /// The texts that sequences were made of, whole; none for token ids.
  let texts: [String]

  /// - Parameters:
  ///   - limit: the most sequences.
  ///   - length: the most tokens of each; what is longer is cut.
  ///   - model: whose tokens they become; nil makes a token of each character of a text.
  ///   - begins: whether texts begin with the token that config.json says, as they do for `eval`.
  /// - Throws: ``ErrorCode/wrongFormat`` for data of another form, ``ErrorCode/modelInput`` for tokens that the model
  ///   does not know and when there is no sequence.
  init(_ path: String, for model: LoadedModel?, limit: Int, length: Int, begins: Bool = false) throws {
    let reader = SequenceReader(model, begin: begins ? try model?.beginToken : nil)
    let items: [(place: String, item: SequenceReader.Item)]
    if path.hasSuffix(".jsonl") {
      items = try TextFile.lines(path).enumerated().filter { !$0.element.allSatisfy(\.isWhitespace) }.prefix(limit).map
      {
        let bytes = Bytes($0.element.utf8)
        return ("line \($0.offset + 1)", .json(try inFile(path) { try JSON.parse(bytes) }))
      }
    } else if path.hasSuffix(".json") {
      let list = try inFile(path) {
        try JSON.parse(InputFile.contents(of: path, limit: TextFile.maximumByteCount)).asArray()
      }
      items = list.prefix(limit).enumerated().map { ("item \($0.offset + 1)", .json($0.element)) }
    } else {
      items = try TextFile.lines(path).enumerated().filter { !$0.element.isEmpty }.prefix(limit).map {
        ("line \($0.offset + 1)", .text($0.element))
      }
    }
    let read = try items.map { place, item in try inFile("\(path), \(place)") { try reader.tokens(item) } }
    sequences = read.map { Array($0.tokens.prefix(length)) }.filter { !$0.isEmpty }
    texts = read.compactMap(\.text)
    guard !sequences.isEmpty else { throw BessemerError(.modelInput, "holds no text to calibrate with", file: path) }
  }
}

/// Makes tokens of what a file of calibration data holds.
private struct SequenceReader {
  private let model: LoadedModel?
  private let tokenizer: Result<Tokenizer, any Error>
  private let begin: Int32?

  init(_ model: LoadedModel?, begin: Int32?) {
    (self.model, self.begin) = (model, begin)
    tokenizer = Result {
      guard let model else { throw BessemerError(.usage, "messages need a model's chat template; give --model") }
      guard let json = try model.files.json("tokenizer.json") else {
        throw BessemerError(.fileMissing, "the model has no tokenizer.json; give token ids", file: model.path)
      }
      return try inFile(model.files["tokenizer.json"]?.path ?? model.path) { try Tokenizer(json: json) }
    }
  }

  enum Item {
    case text(String)
    case json(JSON)
  }

  typealias Sequence = (tokens: [Int32], text: String?)

  func tokens(_ item: Item) throws -> Sequence {
    switch item {
    case .text(let text): try encode(text)
    case .json(let value): try tokens(value)
    }
  }

  private func encode(_ text: String) throws -> Sequence {
    if model == nil { return (text.unicodeScalars.map { Int32($0.value) }, text) }
    guard let begin else { return (try tokenizer.get().encode(text), text) }
    return ([begin] + (try tokenizer.get().encode(text, addSpecialTokens: false)), text)
  }

  private func tokens(_ item: JSON) throws -> Sequence {
    switch item.kind {
    case .string: return try encode(item.asString())
    case .array: return try known(item)
    case .object: break
    default: throw item.mismatch("a text, token ids or an object")
    }
    for key in ["inputs_pretokenized", "text", "prompt"] {
      if let text = try item.optional(key) { return try encode(text.asString()) }
    }
    for key in ["input_ids", "tokens"] {
      if let ids = try item.optional(key) { return try known(ids) }
    }
    if let messages = try item.optional("messages") {
      let tokenizer = try tokenizer.get()
      guard let model else { return ([], nil) }
      let text = try Conversation(model, usesTools: false).prompt(messages, now: nil)
      return (try tokenizer.encode(text, addSpecialTokens: false), text)
    }
    throw BessemerError(
      .wrongFormat, "has no inputs_pretokenized, text, prompt, messages, input_ids or tokens")
  }

  private func known(_ ids: JSON) throws -> Sequence {
    (try ids.asArray().map { Int32(try $0.asInt(in: 0...Int(Int32.max))) }, nil)
  }
}

extension QuantizationOptions {
  /// The digest of a file of calibration data.
  static func digest(ofCalibration path: String) throws -> String {
    try SHA256.digest(of: InputFile.contents(of: path, limit: TextFile.maximumByteCount)).description
  }

  /// Throws ``ErrorCode/plan`` when the data is not what a plan was made with.
  func checkCalibration(_ path: String) throws {
    guard let calibrationDigest else { return }
    let own = try QuantizationOptions.digest(ofCalibration: path)
    guard own == calibrationDigest.lowercased() else {
      throw BessemerError(
        .plan, "is other data than the plan's: its digest is \(own), the plan has \(quoted(calibrationDigest))",
        file: path)
    }
  }
}
