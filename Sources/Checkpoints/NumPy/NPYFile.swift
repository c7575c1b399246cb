public import Tensors

/// A single array in a `.npy` file: a checkpoint of one tensor, which has the name of the file without its ending.
public struct NPYFile: CheckpointFormat {
  public init() {}

  public var name: String { "npy" }
  public var suffixes: [String] { [".npy"] }
  public var summary: String { "a single NumPy array" }

  public func recognizes(_ start: [UInt8]) -> Bool { start.starts(with: NPY.magic) }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let file = try InputFile(path: path)
      let shortest = try file.read(at: 0, count: min(file.byteCount, NPY.shortestByteCount))
      let start = try file.read(at: 0, count: min(file.byteCount, NPY.headerByteCount(shortest)))
      let array = try NPY.describe(start, fileByteCount: file.byteCount)
      let last = path.split(separator: "/").last.map { String($0) } ?? path
      let name = TensorName(last.hasSuffix(".npy") && last != ".npy" ? String(last.dropLast(4)) : last)
      var store = TensorStore()
      try store.append(array.array(in: file.map().bytes).entry(name, array.dtype, shape: array.shape, file: path))
      return store
    }
  }
}
