public import Tensors

/// ggml's `.gguf` files, versions 2 and 3, little- and big-endian, whole or split.
///
/// Names and metadata are left as they are. Metadata becomes text, see ``GGUFText``; what says how a model is split is
/// left out. Blocks of ggml's encodings are float32 tensors in the layout ``WeightLayout/blocks(_:)``.
public struct GGUF: CheckpointFormat {
  public init() {}

  public var name: String { "gguf" }
  public var suffixes: [String] { [".gguf"] }
  public var summary: String { "ggml's format, whole or split, with its block encodings" }

  /// Tensors of a file.
  static let maximumTensorCount = 1_000_000
  /// Dimensions of a tensor; ggml knows no more.
  static let maximumRank = 4
  /// Bytes of a key or a tensor's name.
  static let maximumNameByteCount = 65535
  /// Pieces of metadata.
  static let maximumMetadataCount = 65536
  /// Bytes of all metadata as text.
  static let maximumTextByteCount = 64 << 20
  /// Arrays inside each other.
  static let maximumArrayDepth = 8
  /// The largest multiple at which tensors may start.
  static let maximumAlignment = 1 << 20
  /// Files of a split model.
  static let maximumFileCount = 99_999

  static let magic = Array("GGUF".utf8)
  static let alignmentKey: TensorName = "general.alignment"
  /// The multiple at which tensors start where a file says nothing else.
  public static let defaultAlignment = 32

  public func recognizes(_ start: [UInt8]) -> Bool { start.starts(with: GGUF.magic) }

  /// Reads a file, or all files of a split model by any of them.
  public func read(_ path: String) throws -> TensorStore {
    let first = try GGUFFile(InputFile(path: path))
    guard let split = try inFile(path, { try first.split() }), split.count > 1 else { return try first.store() }
    let (folder, name) = (try InputFolder(of: path), splitPath(path).name)
    guard let stem = split.stem(of: name) else {
      throw BessemerError(
        .shardIndex,
        "is file \(split.index + 1) of \(split.count) of a split model and must be named "
          + "NAME\(GGUFSplit(index: split.index, count: split.count, tensorCount: 0).suffix)", file: path)
    }
    var store = TensorStore()
    for index in 0..<split.count {
      let expected = GGUFSplit(index: index, count: split.count, tensorCount: split.tensorCount)
      let file = try GGUFFile(folder.open(stem + expected.suffix, links: .followed))
      try inFile(file.path) {
        guard try file.split() == expected else {
          throw BessemerError(.shardIndex, "is not file \(index + 1) of \(split.count) of the split model")
        }
        try file.append(to: &store)
      }
    }
    guard split.tensorCount.map({ $0 == store.entries.count }) ?? true else {
      throw BessemerError(
        .shardIndex, "the files hold \(store.entries.count) tensors, expected \(split.tensorCount ?? 0)", file: path)
    }
    return store
  }
}

/// Which part of a split model a file is.
struct GGUFSplit: Equatable {
  /// From 0 on.
  let index: Int
  let count: Int
  /// Tensors of all files, where that is said.
  let tensorCount: Int?

  static let keys: (index: TensorName, count: TensorName, tensorCount: TensorName) =
    ("split.no", "split.count", "split.tensors.count")

  /// How the file's name ends: `-00001-of-00003.gguf`.
  var suffix: String { "-\(GGUFSplit.padded(index + 1))-of-\(GGUFSplit.padded(count)).gguf" }

  /// What comes before ``suffix`` in the name of the file.
  func stem(of name: String) -> String? { name.hasSuffix(suffix) ? String(name.dropLast(suffix.utf8.count)) : nil }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.utf8.count)) + digits
  }
}
