public import Tensors

/// The small files of a model beside its weights: configuration and tokenizer.
public struct ModelFiles: Sendable {
  public struct File: Sendable {
    /// The plain name under which a bundle stores it; a folder in the name has become a prefix,
    /// `1_Pooling-config.json`.
    public let name: String
    /// The path of the source, for messages.
    public let path: String
    public let bytes: Bytes
  }

  /// Bytes of one such file that are read.
  public static let maximumByteCount = 64 << 20

  /// The names that are looked for, in the order in which a bundle lists them.
  public static let names = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model",
    "sentencepiece.bpe.model", "spiece.model", "preprocessor_config.json", "processor_config.json", "modules.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
    "scheduler_config.json",
  ]

  public private(set) var files: [File] = []

  public init() {}

  /// Reads what the folder has of ``names``. Links are followed, as Hugging Face's cache consists of them.
  public init(folder path: String) throws {
    let folder = try InputFolder(path: path)
    for name in ModelFiles.names where folder.contains(name) {
      let file = try folder.open(name, links: .followed)
      files.append(
        File(
          name: ModelFiles.plainName(name), path: file.path,
          bytes: try file.readAll(limit: ModelFiles.maximumByteCount)))
    }
  }

  /// The file of this name, as the source or the bundle spells it.
  public subscript(name: String) -> File? {
    let plain = ModelFiles.plainName(name)
    return files.first { $0.name == plain }
  }

  public mutating func append(_ file: File) { files.append(file) }

  /// Adds the files of a folder, its name before theirs.
  mutating func append(_ other: ModelFiles, folder: String) {
    for file in other.files {
      append(File(name: ModelFiles.plainName(folder + "/" + file.name), path: file.path, bytes: file.bytes))
    }
  }

  /// The files of a folder by their own names; all of them where the folder has no name.
  public func folder(_ name: String) -> ModelFiles {
    guard !name.isEmpty else { return self }
    let prefix = ModelFiles.plainName(name + "/")
    var result = ModelFiles()
    for file in files where file.name.hasPrefix(prefix) {
      result.append(File(name: String(file.name.dropFirst(prefix.count)), path: file.path, bytes: file.bytes))
    }
    return result
  }

  /// The JSON object in a file; nil when the model has no such file. Throws when it is no strict JSON object.
  public func json(_ name: String) throws -> JSON? {
    guard let file = self[name] else { return nil }
    return try inFile(file.path) {
      let json = try JSON.parse(file.bytes, limits: JSON.Limits(stringByteCount: 1 << 24, nodeCount: 1 << 23))
      guard json.kind == .object else {
        throw BessemerError(.json, "the JSON text is \(json.summary), expected an object")
      }
      return json
    }
  }

  /// `1_Pooling/config.json` as `1_Pooling-config.json`: bundles hold plain names only.
  static func plainName(_ name: String) -> String {
    String(decoding: name.utf8.map { $0 == UInt8(ascii: "/") ? UInt8(ascii: "-") : $0 }, as: UTF8.self)
  }
}
