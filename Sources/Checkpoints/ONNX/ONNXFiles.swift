internal import Tensors

/// The files beside a model that hold its tensors, opened once each.
///
/// Locations are plain relative names below the model's folder, without links: bytes are taken as they are.
struct ONNXFiles {
  /// Files of a model.
  static let maximumCount = 10_000

  private let folder: InputFolder
  private var files: [TensorName: Bytes] = [:]
  /// Bytes of the files that were opened since they were last asked for.
  private var newByteCount = 0

  init(of path: String) throws { folder = try InputFolder(of: path) }

  /// The `byteCount` bytes that the entries of `external_data` lead to.
  mutating func window(_ entries: [(key: String, value: String)], _ byteCount: Int) throws -> Bytes {
    var (location, offset, length): (String?, Int, Int?) = (nil, 0, nil)
    for (key, value) in entries {
      switch key {
      case "location": location = value
      case "offset": offset = try ONNXFiles.number(value, key)
      case "length": length = try ONNXFiles.number(value, key)
      // A digest of the whole file, and what a runtime keeps for itself.
      case "checksum": break
      case _ where key.hasPrefix("prepacked"): break
      default: throw BessemerError(.unsupportedFeature, "the entry \(quoted(key)) of external data is not known")
      }
    }
    guard let location else { throw BessemerError(.tensorEntry, "lies in another file that is not named") }
    let file = try open(location)
    let count = length ?? max(file.count - offset, 0)
    guard count == byteCount else {
      throw BessemerError(.tensorLayout, "takes \(byteCount) bytes, \(quoted(location)) has \(count) for it")
    }
    guard let end = CheckedSize.sum(offset, count), end <= file.count else {
      throw BessemerError(
        .truncated, "truncated: \(count) bytes at byte \(offset) of \(quoted(location)), which has \(file.count)")
    }
    return file[offset..<end]
  }

  /// Bytes of the files that were opened since the last call.
  mutating func takeNewByteCount() -> Int {
    defer { newByteCount = 0 }
    return newByteCount
  }

  private mutating func open(_ location: String) throws -> Bytes {
    if let file = files[TensorName(location)] { return file }
    guard files.count < ONNXFiles.maximumCount else {
      throw BessemerError(.limit, "more than \(ONNXFiles.maximumCount) files of external data")
    }
    let file = try folder.open(location, links: .refused).map().bytes
    files[TensorName(location)] = file
    newByteCount += file.count
    return file
  }

  /// A number in decimal digits alone.
  private static func number(_ text: String, _ key: String) throws -> Int {
    guard !text.isEmpty, text.utf8.count < 19, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let number = Int(text)
    else { throw BessemerError(.tensorEntry, "the \(key) \(quoted(text)) of external data is no number") }
    return number
  }
}
