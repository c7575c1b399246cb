internal import Checkpoints
internal import Tensors

/// Which tokens begin, end and fill sequences, and whether they are put there, as GGUF files say it.
struct GGUFSpecialTokens {
  private var ids: [String: Int] = [:]
  private var isAdded: [String: Bool] = [:]

  /// The roles, by the words of tokenizer_config.json and by GGUF's keys.
  static let roles: [(word: String, key: String)] = [
    ("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("sep", "seperator"), ("pad", "padding"), ("mask", "mask"),
    ("eot", "eot"), ("eom", "eom"),
  ]

  /// Reads the tokenizer's own files, then config.json for what they leave open.
  mutating func read(_ tokenizer: JSON?, _ settings: JSON?, _ config: JSON) throws {
    var names: [String: String] = [:]
    for (word, _) in GGUFSpecialTokens.roles + [("cls", "cls")] {
      guard let entry = settings?["\(word)_token"] else { continue }
      names[word] = entry.string ?? (entry.kind == .object ? entry["content"]?.string : nil)
    }
    if let tokenizer {
      if names["bos"] == nil, settings != nil { names["bos"] = names["cls"] }
      if names["eos"] == nil, settings != nil { names["eos"] = names["sep"] }
      if let processor = try tokenizer.optional("post_processor") { try read(processor, settings != nil, &names) }
    }
    if let settings {
      var known: [String: Int] = [:]
      for token in try tokenizer?.optional("added_tokens")?.asArray().map({ $0 }) ?? [] {
        let content = try token.required("content").asString()
        if known[content] == nil { known[content] = try token.required("id").asInt() }
      }
      for (word, name) in names where word != "cls" { ids[word] = known[name] }
      for (word, _) in GGUFSpecialTokens.roles {
        if let adds = settings["add_\(word)_token"]?.bool, isAdded[word] == nil { isAdded[word] = adds }
      }
    }
    for (word, _) in GGUFSpecialTokens.roles.prefix(6) where ids[word] == nil {
      // Several ids are given as a list, which this key cannot hold.
      ids[word] = config["\(word)_token_id"]?.int
    }
  }

  /// What a post-processor says of tokens at both ends.
  private mutating func read(_ processor: JSON, _ hasSettings: Bool, _ names: inout [String: String]) throws {
    let list = try processor.optional("processors")?.asArray().map { $0 } ?? [processor]
    for processor in list {
      switch try processor.required("type").asString() {
      case "ByteLevel":
        for word in ["bos", "eos"] where isAdded[word] == nil { isAdded[word] = false }
      case "RobertaProcessing":
        for word in ["bos", "eos", "sep"] { isAdded[word] = true }
        if names["sep"] == nil { names["sep"] = try processor.required("sep").asArray().map { $0 }.first?.string }
      case "TemplateProcessing": try readTemplate(processor, hasSettings, &names)
      default: break
      }
    }
  }

  private mutating func readTemplate(_ json: JSON, _ hasSettings: Bool, _ names: inout [String: String]) throws {
    func special(_ part: JSON?) -> String? { part?["SpecialToken"]?["id"]?.string }
    let single = try json.required("single").asArray().map { $0 }
    let (first, last) = (special(single.first), special(single.last))
    guard single.count > 1 else { return }
    if let first {
      if !hasSettings || names["bos"] == nil { names["bos"] = first }
      if names["cls"] == nil { names["cls"] = first }
      isAdded["bos"] = first == names["bos"] || first == names["cls"]
    }
    if let last {
      if hasSettings, let old = names["eos"], old != last { names["eot"] = old }
      names["eos"] = last
      isAdded["eos"] = true
    }
    let pair = try json.required("pair").asArray().map { $0 }
    let begin = first != nil && special(pair.first) == first ? 1 : 0
    let end = pair.count - (last != nil && special(pair.last) == last ? 1 : 0)
    guard begin < end else { return }
    let middle = pair[begin..<end]
    guard middle.count > 2, middle.first?["Sequence"]?["id"]?.string == "A",
      middle.last?["Sequence"]?["id"]?.string == "B"
    else { return }
    let between = middle.dropFirst().dropLast().prefix(2).map { special($0) }
    let ends = [names["sep"], names["eos"]]
    let adds = between[0] != nil && ends.contains(between[0]) && last == nil
    let addsSecond = between.count == 2 && between[1] != nil && ends.contains(between[1])
    isAdded["sep"] = adds || addsSecond
    if adds || addsSecond, names["sep"] == nil { names["sep"] = names["eos"] }
  }

  /// Tokens that llama.cpp gives a family besides.
  mutating func complete(_ family: GGUFFamily, _ tokens: [String]) throws {
    let named: [(String, String)] =
      switch family.architecture {
      case "glm4": [("eos", "<|endoftext|>"), ("eot", "<|user|>"), ("unk", "<|endoftext|>"), ("bos", "<|endoftext|>")]
      case "glm4moe": [("bos", "[gMASK]"), ("eot", "<|user|>"), ("unk", "<|endoftext|>"), ("eom", "<|observation|>")]
      default: []
      }
    for (word, token) in named where ids[word] == nil { ids[word] = tokens.firstIndex(of: token) }
  }

  /// The metadata of the tokens below `count`.
  func texts(count: Int) -> [TensorName: String] {
    var texts: [TensorName: String] = [:]
    for (word, key) in GGUFSpecialTokens.roles {
      if let id = ids[word], (0..<count).contains(id) {
        texts[TensorName("tokenizer.ggml.\(key)_token_id")] = "u32:\(id)"
      }
      guard let adds = isAdded[word], ["bos", "eos", "sep"].contains(word) else { continue }
      texts[TensorName("tokenizer.ggml.add_\(word)_token")] = "bool:\(adds)"
    }
    return texts
  }

  /// The templates of chats: of a file of their own, or of tokenizer_config.json, which counts more.
  static func chatTemplates(_ files: ModelFiles) throws -> [TensorName: String] {
    let key = "tokenizer.chat_template"
    guard let settings = try files.json("tokenizer_config.json") else { return [:] }
    guard let template = try settings.optional("chat_template") else {
      guard let file = files["chat_template.jinja"] else { return [:] }
      guard let text = file.bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
        throw BessemerError(.tokenizer, "the template is not UTF-8", file: file.path)
      }
      return [TensorName(key): GGUFText.text(of: text)]
    }
    if let text = template.string { return [TensorName(key): GGUFText.text(of: text)] }
    var texts: [TensorName: String] = [:]
    var names: [String] = []
    for choice in try template.asArray() {
      let name = String(
        try choice.required("name").asString().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
      if name != "default" { names.append(name) }
      texts[TensorName(name == "default" ? key : "\(key).\(name)")] = GGUFText.text(
        of: try choice.required("template").asString())
    }
    if !names.isEmpty { texts[TensorName(key + "s")] = "array:string:\(GGUFText.list(names))" }
    return texts
  }
}
