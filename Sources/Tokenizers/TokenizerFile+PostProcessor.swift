internal import Tensors

/// Reads the `post_processor` of a `tokenizer.json`.
enum PostProcessorFile {
  /// What is put around sequences; the plain sequences if there is no post-processor.
  static func postProcessor(_ json: JSON?) throws -> PostProcessor {
    guard let json else { return .plain }
    var found: PostProcessor?
    func add(_ json: JSON) throws {
      if try TokenizerFile.type(json) == "Sequence" {
        for processor in try json.required("processors").asArray() { try add(processor) }
        return
      }
      // ByteLevel only moves offsets.
      if try TokenizerFile.type(json) == "ByteLevel" { return }
      guard found == nil else {
        throw BessemerError(.unsupportedFeature, "a sequence of several post-processors that add tokens")
      }
      found = try single(json)
    }
    try add(json)
    return found ?? .plain
  }

  private static func single(_ json: JSON) throws -> PostProcessor {
    switch try TokenizerFile.type(json) {
    case "TemplateProcessing":
      let special = try specialTokens(json)
      let processor = PostProcessor(
        single: try template(try json.required("single"), special),
        pair: try template(try json.required("pair"), special))
      for case .sequence(1, _) in processor.single {
        throw try json.required("single").mismatch("a template with sequence A only")
      }
      return processor
    case "BertProcessing":
      let (cls, sep) = (try token(try json.required("cls")), try token(try json.required("sep")))
      let single: [PostProcessor.Part] = [.special([cls], type: 0), .sequence(0, type: 0), .special([sep], type: 0)]
      return PostProcessor(single: single, pair: single + [.sequence(1, type: 1), .special([sep], type: 1)])
    case "RobertaProcessing":
      let (cls, sep) = (try token(try json.required("cls")), try token(try json.required("sep")))
      let single: [PostProcessor.Part] = [.special([cls], type: 0), .sequence(0, type: 0), .special([sep], type: 0)]
      let pair: [PostProcessor.Part] = [.special([sep], type: 0), .sequence(1, type: 0), .special([sep], type: 0)]
      return PostProcessor(single: single, pair: single + pair)
    default: throw try TokenizerFile.unknown(json, "post-processor")
    }
  }

  private static func id(_ json: JSON) throws -> Int32 { Int32(try json.asInt(in: 0...Vocabulary.Limit.id - 1)) }

  /// `["[CLS]", 101]`
  private static func token(_ json: JSON) throws -> Int32 {
    var fields = try json.asArray()
    guard json.count == 2, let name = fields.next(), name.kind == .string, let number = fields.next() else {
      throw json.mismatch("a token and its id")
    }
    return try id(number)
  }

  private static func specialTokens(_ json: JSON) throws -> [[UInt8]: [Int32]] {
    var tokens: [[UInt8]: [Int32]] = [:]
    for (name, entry) in try json.required("special_tokens").asObject() {
      tokens[Array(name.utf8)] = try entry.required("ids").asArray().map(id)
    }
    return tokens
  }

  private static func template(_ json: JSON, _ special: [[UInt8]: [Int32]]) throws -> [PostProcessor.Part] {
    guard json.count <= TokenizerFile.Limit.steps else {
      throw BessemerError(.limit, "a template of \(json.count) parts")
    }
    var parts: [PostProcessor.Part] = []
    for part in try json.asArray() {
      if let sequence = try part.optional("Sequence") {
        let name = try sequence.required("id")
        guard let index = ["A", "B"].firstIndex(of: try name.asString()) else { throw name.mismatch("A or B") }
        parts.append(.sequence(index, type: try id(try sequence.required("type_id"))))
      } else {
        let token = try part.required("SpecialToken")
        let name = try token.required("id")
        guard let ids = special[Array(try name.asString().utf8)] else {
          throw name.mismatch("one of the template's special tokens")
        }
        parts.append(.special(ids, type: try id(try token.required("type_id"))))
      }
    }
    return parts
  }
}
