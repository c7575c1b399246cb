public import Tensors

/// NumPy's `.npz` archives: zip files of one `.npy` file for each array.
///
/// Written as `numpy.savez` does, uncompressed, with data at multiples of 64 bytes. Checksums are verified whenever the
/// data of an array is read.
public struct NPZ: WritableCheckpointFormat {
  public init() {}

  public var name: String { "npz" }
  public var suffixes: [String] { [".npz"] }
  public var summary: String { "NumPy archive" }
  public var keepsMetadata: Bool { false }

  private static let memberSuffix = ".npy"

  /// A zip archive whose first member is a `.npy` file, or without any.
  public func recognizes(_ start: [UInt8]) -> Bool {
    if start.starts(with: [0x50, 0x4B, 5, 6]) { return true }
    guard start.starts(with: [0x50, 0x4B, 3, 4]), start.count > 30 else { return false }
    let count = Int(start[26]) | Int(start[27]) << 8
    return start.count >= 30 + count && start[30..<(30 + count)].suffix(4).elementsEqual(NPZ.memberSuffix.utf8)
  }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let archive = try ZipArchive(InputFile(path: path))
      var store = TensorStore()
      store.reserveCapacity(archive.members.count)
      for member in archive.members {
        guard member.name.utf8.count > 4, member.name.hasSuffix(NPZ.memberSuffix) else {
          throw BessemerError(
            .wrongFormat, "zip member \(quoted(member.name)) is no .npy file; expected only those in a .npz file")
        }
        do { try store.append(NPZ.entry(member, path)) } catch let error as BessemerError {
          guard error.code != .duplicateName else { throw error }
          throw BessemerError(error.code, "zip member \(quoted(member.name)): \(error.message)")
        }
      }
      return store
    }
  }

  private static func entry(_ member: ZipArchive.Member, _ path: String) throws -> TensorStore.Entry {
    let shortest = try member.prefix(NPY.shortestByteCount)
    let start = try member.prefix(NPY.headerByteCount(shortest))
    let array = try NPY.describe(start, fileByteCount: member.byteCount)
    let name = TensorName(String(member.name.dropLast(memberSuffix.count)))
    guard array.isPlain else {
      return TensorStore.Entry(name, array.dtype, shape: array.shape, file: path) { body in
        let elements = try inFile(path) { try array.array(in: member.whole()) }
        try elements.forEachPiece(body)
      }
    }
    return TensorStore.Entry(name, array.dtype, shape: array.shape, file: path) { body in
      var left = array.dataOffset
      try inFile(path) {
        try member.forEachPiece { piece in
          let cut = min(left, piece.count)
          left -= cut
          if cut < piece.count { try body(piece[cut..<piece.count]) }
        }
      }
    }
  }

  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    entries.compactMap { entry in
      if NPY.header(entry.dtype, shape: entry.shape) == nil {
        return "\(TensorType(entry.dtype, shape: entry.shape)) (tensor \(quoted(entry.name.string)))"
      }
      let name = entry.name.string.utf8
      guard !name.isEmpty, !name.contains(0), name.count <= ZipArchive.maximumNameByteCount - 4 else {
        return "the tensor name \(quoted(entry.name.string))"
      }
      return nil
    }
  }

  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) { try check(entries, metadata: metadata) }
    var writer = ZipWriter()
    var headers: [[UInt8]] = []
    for entry in entries {
      guard let header = NPY.header(entry.dtype, shape: entry.shape), let byteCount = entry.byteCount else {
        throw BessemerError(.tensorLayout, "tensor \(quoted(entry.name.string)) is out of limits", file: path)
      }
      headers.append(header)
      try writer.add(entry.name.string + NPZ.memberSuffix, byteCount: header.count + byteCount)
    }
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: writer.byteCount) { sink in
      try writer.write(to: sink) { index, sink in
        try sink.write(headers[index])
        try entries[index].write(to: sink)
      }
    }
  }
}
