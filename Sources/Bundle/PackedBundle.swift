internal import Digests
internal import Glibc
internal import Tensors

/// A bundle in one file, run from its mapping like the folder.
///
/// ```
/// 16 bytes   "BESSEMER BUNDLE\n"
///  8 bytes   version, 1
///  8 bytes   length of the index
/// 32 bytes   SHA-256 of the index
/// index      JSON: {"files": [{"name", "byte_count", "sha256"}, …]}, the manifest first
/// files      each from a multiple of 64 bytes on, zeros in between, in the order of the index
/// ```
/// Numbers are little-endian. Nothing follows the last file.
struct PackedBundle: Sendable {
  static let magic = Array("BESSEMER BUNDLE\n".utf8)
  static let version: UInt64 = 1
  static let headByteCount = 64

  let input: InputFile
  let mapping: MappedFile
  /// In the order of their data.
  let files: [(file: BundleManifest.File, range: Range<Int>)]
  private let ranges: [TensorName: Range<Int>]

  init(path: String) throws {
    let input = try InputFile(path: path)
    self.input = input
    let files = try inFile(path) { try PackedBundle.read(input) }
    self.files = files
    ranges = Dictionary(files.map { (TensorName($0.file.name), $0.range) }, uniquingKeysWith: { first, _ in first })
    mapping = try input.map()
  }

  func range(of name: String) throws -> Range<Int> {
    guard let range = ranges[TensorName(name)] else {
      throw BessemerError(.bundle, "lacks \(quoted(name))", file: input.path)
    }
    return range
  }

  static func isPacked(_ path: String) -> Bool {
    guard let file = try? InputFile(path: path), let head = try? file.read(at: 0, count: magic.count) else {
      return false
    }
    return head.array == magic
  }

  private static func read(_ input: InputFile) throws -> [(file: BundleManifest.File, range: Range<Int>)] {
    guard input.byteCount >= headByteCount, try input.read(at: 0, count: magic.count).array == magic else {
      throw BessemerError(.wrongFormat, "is no bundle: expected a folder or a packed bundle")
    }
    var head = ByteReader(try input.read(at: magic.count, count: headByteCount - magic.count), origin: magic.count)
    let version = try head.integer(UInt64.self, "the version")
    guard version == PackedBundle.version else {
      throw BessemerError(.unsupportedFeature, "packed bundle of version \(version), expected \(PackedBundle.version)")
    }
    let length = try head.integer(UInt64.self, "the length of the index")
    guard length <= UInt64(min(BundleManifest.maximumByteCount, input.byteCount - headByteCount)) else {
      throw BessemerError(.truncated, "truncated: an index of \(length) bytes in a file of \(input.byteCount)")
    }
    let text = try input.read(at: headByteCount, count: Int(length))
    guard try SHA256.digest(of: text).bytes == head.take(32, "the digest of the index").array else {
      throw BessemerError(.digest, "the index has another SHA-256 than the head says: the file is damaged")
    }
    let json = try JSON.parse(text)
    try json.checkMembers(["files"])
    let list = try json.required("files").asArray().map(BundleManifest.File.init)
    guard list.count <= BundleManifest.maximumFileCount + 1 else {
      throw BessemerError(.limit, "\(list.count) files, at most \(BundleManifest.maximumFileCount + 1) are read")
    }
    let (files, end) = try layout(list, indexByteCount: Int(length))
    guard end == input.byteCount else {
      throw BessemerError(.truncated, "has \(input.byteCount) bytes, its index describes \(end)")
    }
    try checkGaps(files, input, from: headByteCount + Int(length))
    return files
  }

  /// Where each file stands, and the size of the whole. Checks names.
  static func layout(_ list: [BundleManifest.File], indexByteCount: Int) throws -> (
    files: [(file: BundleManifest.File, range: Range<Int>)], byteCount: Int
  ) {
    var files: [(BundleManifest.File, Range<Int>)] = []
    var names: Set<TensorName> = []
    var end = headByteCount + indexByteCount
    for file in list {
      try BundleManifest.checkFileName(file.name)
      guard names.insert(TensorName(file.name)).inserted else {
        throw BessemerError(.duplicateName, "file \(quoted(file.name)) is listed twice")
      }
      guard let start = CheckedSize.aligned(end, to: 64), let next = CheckedSize.sum(start, file.byteCount) else {
        throw BessemerError(.limit, "the files take more than 2^63 bytes together")
      }
      files.append((file, start..<next))
      end = next
    }
    return (files, end)
  }

  private static func checkGaps(
    _ files: [(file: BundleManifest.File, range: Range<Int>)], _ input: InputFile, from start: Int
  ) throws {
    var end = start
    for (_, range) in files {
      let gap = try input.read(at: end, count: range.lowerBound - end)
      guard gap.array.allSatisfy({ $0 == 0 }) else {
        throw BessemerError(.bundle, "the gap at byte \(end) is not empty")
      }
      end = range.upperBound
    }
  }
}
