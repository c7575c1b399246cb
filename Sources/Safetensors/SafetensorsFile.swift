public import Tensors

/// One safetensors file: its header is read and validated, its data is mapped and not touched.
public struct SafetensorsFile: Sendable {
  public let header: SafetensorsHeader
  /// The path, for messages.
  public let path: String
  private let data: Bytes

  /// Opens the file at `path`.
  public init(path: String) throws { try self.init(InputFile(path: path)) }

  /// Reads the header of an open file and maps the file; the descriptor is not needed afterwards.
  public init(_ file: InputFile) throws {
    path = file.path
    (header, data) = try inFile(file.path) {
      let start = try SafetensorsFile.textByteCount(fileByteCount: file.byteCount) { try file.read(at: 0, count: $0) }
      let text = try file.read(at: 8, count: start)
      let dataByteCount = file.byteCount - 8 - start
      let header = try SafetensorsHeader(text: text, dataByteCount: dataByteCount)
      return (header, try file.map()[(8 + start)..<file.byteCount])
    }
  }

  /// A file that is already in memory; `path` is for messages.
  public init(_ bytes: Bytes, path: String = "memory") throws {
    self.path = path
    (header, data) = try inFile(path) {
      let start = try SafetensorsFile.textByteCount(fileByteCount: bytes.count) { bytes[0..<$0] }
      let header = try SafetensorsHeader(text: bytes[8..<(8 + start)], dataByteCount: bytes.count - 8 - start)
      return (header, bytes[(8 + start)..<bytes.count])
    }
  }

  /// The bytes of a tensor of the header.
  public func bytes(of entry: SafetensorsHeader.Entry) -> Bytes { data[entry.range] }

  /// The tensors of the file in the order of their data.
  public func store() throws -> TensorStore {
    var store = TensorStore()
    try append(to: &store)
    return store
  }

  /// Adds the tensors, and the metadata that is not there yet.
  func append(to store: inout TensorStore) throws {
    for entry in header.entries {
      let window = data[entry.range]
      try store.append(TensorStore.Entry(entry.name, entry.dtype, shape: entry.shape, file: path) { window })
    }
    store.metadata.merge(header.metadata) { first, _ in first }
  }

  /// The length of the header's text, checked against the size of the file. `prefix` returns the first bytes.
  private static func textByteCount(fileByteCount: Int, _ prefix: (Int) throws -> Bytes) throws -> Int {
    guard fileByteCount > 0 else { throw BessemerError(.truncated, "the file is empty, expected a safetensors header") }
    let start = try prefix(min(fileByteCount, 64)).array
    func refuse(_ code: ErrorCode, _ message: String) -> BessemerError {
      guard let guess = FileGuess.name(start) else { return BessemerError(code, message) }
      return BessemerError(.wrongFormat, "not a safetensors file, it looks like \(guess)")
    }
    guard fileByteCount >= 8 else {
      throw refuse(.truncated, "truncated: \(fileByteCount) bytes, the header's length takes 8")
    }
    let count = start.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard count <= UInt64(SafetensorsHeader.maxTextByteCount) else {
      throw refuse(.header, "header of \(count) bytes, at most \(SafetensorsHeader.maxTextByteCount) are allowed")
    }
    guard count <= UInt64(fileByteCount - 8) else {
      throw refuse(.truncated, "truncated: header of \(count) bytes, \(fileByteCount - 8) are left in the file")
    }
    guard count >= 2 else { throw refuse(.header, "header of \(count) bytes, at least 2 are needed") }
    return Int(count)
  }
}
