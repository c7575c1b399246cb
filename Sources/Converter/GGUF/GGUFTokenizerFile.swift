internal import Checkpoints
internal import Tensors

/// The tokenizer of a GGUF file as tokenizer.json and tokenizer_config.json.
struct GGUFTokenizerFile {
  private let texts: GGUFTexts
  private let tokens: [String]
  private let kinds: [GGUFVocabulary.Kind]
  private let model: String

  /// Nil for a file without a tokenizer.
  init?(_ texts: GGUFTexts) throws {
    guard let text = texts.metadata[GGUFVocabulary.modelKey] else { return nil }
    model = GGUFText.string(ofText: text)
    guard model != "none" else { return nil }
    guard let tokens = texts.strings(GGUFVocabulary.tokensKey) else {
      throw BessemerError(.tokenizer, "the metadata lacks \(quoted(GGUFVocabulary.tokensKey.string)), a list of texts")
    }
    let numbers = texts.numbers(GGUFVocabulary.kindsKey) ?? Array(repeating: 1, count: tokens.count)
    guard numbers.count == tokens.count else {
      throw BessemerError(.tokenizer, "\(tokens.count) tokens have \(numbers.count) types")
    }
    self.texts = texts
    self.tokens = tokens
    kinds = numbers.map { Int(exactly: $0).flatMap(GGUFVocabulary.Kind.init) ?? .normal }
  }

  /// The files that make the tokenizer. Throws ``ErrorCode/unsupportedFeature`` for a tokenizer of another kind.
  func files(_ family: GGUFFamily) throws -> [(name: String, bytes: [UInt8])] {
    [("tokenizer.json", try tokenizer()), ("tokenizer_config.json", settings())]
  }

  private func id(_ word: String) -> Int? {
    let key = GGUFSpecialTokens.roles.first { $0.word == word }?.key ?? word
    let text = texts.metadata[TensorName("tokenizer.ggml.\(key)_token_id")]
    return text.flatMap(GGUFText.integer).flatMap { tokens.indices.contains($0) ? $0 : nil }
  }

  private func flag(_ name: String) -> Bool? {
    texts.metadata[TensorName("tokenizer.ggml.\(name)")].map { $0 == "bool:true" }
  }

  // MARK: tokenizer.json

  private func tokenizer() throws -> [UInt8] {
    // The format has a place for the file itself.
    if let text = texts.metadata["tokenizer.huggingface.json"] { return Array(GGUFText.string(ofText: text).utf8) }
    var json = JSONWriter()
    try json.object { json in
      json.member("version", "1.0")
      json.null("truncation")
      json.null("padding")
      json.array("added_tokens") { json in
        for (id, token) in tokens.enumerated() where kinds[id] == .control || kinds[id] == .userDefined {
          json.object { json in
            json.member("id", id)
            json.member("content", token)
            for name in ["single_word", "lstrip", "rstrip", "normalized"] { json.member(name, false) }
            json.member("special", kinds[id] == .control)
          }
        }
      }
      switch model {
      case "gpt2": try writePairs(&json)
      case "llama": writePieces(&json)
      case "bert": try writeWords(&json)
      default:
        throw BessemerError(.unsupportedFeature, "a tokenizer of the type \(quoted(model)) is not read")
      }
    }
    return json.utf8 + [UInt8(ascii: "\n")]
  }

  /// Tokens that stand for text, with their ids; those that fill up the table are left out.
  private func writeVocabulary(_ json: inout JSONWriter, _ spelling: (Int, String) -> String = { $1 }) {
    json.object("vocab") { json in
      for (id, token) in tokens.enumerated() where kinds[id] != .unused { json.member(spelling(id, token), id) }
    }
  }

  /// Byte-level pairs, as GPT-2 has them.
  private func writePairs(_ json: inout JSONWriter) throws {
    guard let merges = texts.strings(GGUFVocabulary.mergesKey) else {
      throw BessemerError(.tokenizer, "the metadata lacks \(quoted(GGUFVocabulary.mergesKey.string)), a list of texts")
    }
    let pre = texts.metadata[GGUFVocabulary.preKey].map(GGUFText.string(ofText:)) ?? "gpt-2"
    guard let pattern = PreTokenizerNames.pattern(pre) else {
      throw BessemerError(.unsupportedFeature, "the pre-tokenizer \(quoted(pre)) is not known")
    }
    json.null("normalizer")
    func byteLevel(_ json: inout JSONWriter, usesOwn: Bool) {
      json.member("type", "ByteLevel")
      json.member("add_prefix_space", false)
      json.member("trim_offsets", true)
      json.member("use_regex", usesOwn)
    }
    json.object("pre_tokenizer") { json in
      guard !pattern.isEmpty else { return byteLevel(&json, usesOwn: true) }
      json.member("type", "Sequence")
      json.array("pretokenizers") { json in
        json.object { json in
          json.member("type", "Split")
          json.object("pattern") { $0.member("Regex", pattern) }
          json.member("behavior", "Isolated")
          json.member("invert", false)
        }
        json.object { byteLevel(&$0, usesOwn: false) }
      }
    }
    // GLM begins texts with two tokens, of which files can name one.
    let pair = ["[gMASK]", "<sop>"].compactMap { tokens.firstIndex(of: $0) }
    let first = pair.count == 2 && pre.contains("glm") ? pair : [id("bos")].compactMap { $0 }
    writeProcessor(&json, first: flag("add_bos_token") ?? (pre == "llama-bpe") ? first : [])
    json.object("decoder") { byteLevel(&$0, usesOwn: true) }
    json.object("model") { json in
      json.member("type", "BPE")
      json.null("dropout")
      json.null("unk_token")
      json.null("continuing_subword_prefix")
      json.null("end_of_word_suffix")
      json.member("fuse_unk", false)
      json.member("byte_fallback", false)
      json.member("ignore_merges", pre == "llama-bpe" || pre == "glm4")
      writeVocabulary(&json)
      json.array("merges", merges)
    }
  }

  /// SentencePiece's pairs, whose order follows from their scores.
  private func writePieces(_ json: inout JSONWriter) {
    let addsSpace = flag("add_space_prefix") ?? true
    json.object("normalizer") { json in
      json.member("type", "Sequence")
      json.array("normalizers") { json in
        if addsSpace {
          json.object { json in
            json.member("type", "Prepend")
            json.member("prepend", "\u{2581}")
          }
        }
        json.object { json in
          json.member("type", "Replace")
          json.object("pattern") { $0.member("String", " ") }
          json.member("content", "\u{2581}")
        }
      }
    }
    json.null("pre_tokenizer")
    writeProcessor(&json, first: flag("add_bos_token") ?? true ? [id("bos")].compactMap { $0 } : [])
    json.object("decoder") { json in
      json.member("type", "Sequence")
      json.array("decoders") { json in
        json.object { json in
          json.member("type", "Replace")
          json.object("pattern") { $0.member("String", "\u{2581}") }
          json.member("content", " ")
        }
        for type in ["ByteFallback", "Fuse"] { json.object { $0.member("type", type) } }
        guard addsSpace else { return }
        json.object { json in
          json.member("type", "Strip")
          json.member("content", " ")
          json.member("start", 1)
          json.member("stop", 0)
        }
      }
    }
    json.object("model") { json in
      json.member("type", "BPE")
      json.null("dropout")
      if let unknown = id("unk") { json.member("unk_token", tokens[unknown]) } else { json.null("unk_token") }
      json.null("continuing_subword_prefix")
      json.null("end_of_word_suffix")
      json.member("fuse_unk", true)
      json.member("byte_fallback", true)
      json.member("ignore_merges", false)
      writeVocabulary(&json)
      json.array("merges") { json in
        for (left, right) in PieceMerges.pairs(tokens, kinds, texts.numbers(GGUFVocabulary.scoresKey) ?? []) {
          json.array { json in
            json.value(left)
            json.value(right)
          }
        }
      }
    }
  }

  /// BERT's words: what continues one is marked again.
  private func writeWords(_ json: inout JSONWriter) throws {
    let lowercases = flag("normalizer.lowercase") ?? true
    json.object("normalizer") { json in
      json.member("type", "BertNormalizer")
      json.member("clean_text", true)
      json.member("handle_chinese_chars", true)
      if let strips = flag("normalizer.strip_accents") {
        json.member("strip_accents", strips)
      } else {
        json.null("strip_accents")
      }
      json.member("lowercase", lowercases)
    }
    json.object("pre_tokenizer") { $0.member("type", "BertPreTokenizer") }
    guard let cls = id("cls") ?? id("bos"), let sep = id("sep") ?? id("eos") else {
      throw BessemerError(.tokenizer, "the metadata does not say which tokens begin and end a text")
    }
    json.object("post_processor") { json in
      json.member("type", "BertProcessing")
      for (name, id) in [("sep", sep), ("cls", cls)] {
        json.array(name) { json in
          json.value(tokens[id])
          json.value(id)
        }
      }
    }
    json.object("decoder") { json in
      json.member("type", "WordPiece")
      json.member("prefix", "##")
      json.member("cleanup", true)
    }
    json.object("model") { json in
      json.member("type", "WordPiece")
      json.member("unk_token", id("unk").map { tokens[$0] } ?? "[UNK]")
      json.member("continuing_subword_prefix", "##")
      json.member("max_input_chars_per_word", 100)
      writeVocabulary(&json) { id, token in
        guard kinds[id] != .control else { return token }
        return token.hasPrefix("\u{2581}") ? String(token.dropFirst()) : "##" + token
      }
    }
  }

  /// Puts the first tokens before a text, and the last one behind it where that is said.
  private func writeProcessor(_ json: inout JSONWriter, first: [Int]) {
    let last = flag("add_eos_token") ?? false ? [id("eos")].compactMap { $0 } : []
    guard !(first + last).isEmpty else { return json.null("post_processor") }
    func special(_ ids: [Int], _ type: Int, _ json: inout JSONWriter) {
      for id in ids {
        json.object { json in
          json.object("SpecialToken") { json in
            json.member("id", tokens[id])
            json.member("type_id", type)
          }
        }
      }
    }
    func sequence(_ name: String, _ type: Int, _ json: inout JSONWriter) {
      json.object { json in
        json.object("Sequence") { json in
          json.member("id", name)
          json.member("type_id", type)
        }
      }
    }
    json.object("post_processor") { json in
      json.member("type", "TemplateProcessing")
      for (name, count) in [("single", 1), ("pair", 2)] {
        json.array(name) { json in
          for type in 0..<count {
            special(first, type, &json)
            sequence(type == 0 ? "A" : "B", type, &json)
            special(last, type, &json)
          }
        }
      }
      json.object("special_tokens") { json in
        for id in Set(first + last).sorted() {
          json.object(tokens[id]) { json in
            json.member("id", tokens[id])
            json.array("ids", [id])
            json.array("tokens", [tokens[id]])
          }
        }
      }
    }
  }

  // MARK: tokenizer_config.json

  private func settings() -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("tokenizer_class", model == "bert" ? "BertTokenizer" : "PreTrainedTokenizerFast")
      for (word, _) in GGUFSpecialTokens.roles.prefix(6) {
        if let id = id(word) { json.member("\(word)_token", tokens[id]) }
      }
      if model == "bert", let cls = id("cls") ?? id("bos") { json.member("cls_token", tokens[cls]) }
      if let template = texts.metadata["tokenizer.chat_template"] {
        json.member("chat_template", GGUFText.string(ofText: template))
      }
    }
    return json.utf8 + [UInt8(ascii: "\n")]
  }
}

/// The pairs that SentencePiece merges: each two pieces that make a third one, the better the earlier.
enum PieceMerges {
  /// Longer tokens are no pieces that are merged.
  private static let maximumByteCount = 256

  static func pairs(_ tokens: [String], _ kinds: [GGUFVocabulary.Kind], _ scores: [Double]) -> [(String, String)] {
    var ids: [[UInt8]: Int] = [:]
    for (id, token) in tokens.enumerated() where kinds[id] == .normal || kinds[id] == .userDefined {
      ids[Array(token.utf8)] = id
    }
    var found: [(left: Int, right: Int, score: Double)] = []
    for (id, token) in tokens.enumerated() where kinds[id] == .normal && token.utf8.count <= maximumByteCount {
      let bytes = Array(token.utf8)
      // Only between characters.
      for cut in bytes.indices.dropFirst() where bytes[cut] & 0xC0 != 0x80 {
        guard let left = ids[Array(bytes[..<cut])], let right = ids[Array(bytes[cut...])] else { continue }
        found.append((left, right, id < scores.count ? scores[id] : -Double(id)))
      }
    }
    found.sort { a, b in
      a.score != b.score ? a.score > b.score : a.left != b.left ? a.left < b.left : a.right < b.right
    }
    return found.map { (tokens[$0.left], tokens[$0.right]) }
  }
}
