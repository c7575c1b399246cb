import Glibc
import Tensors

/// A folder that goes away with its owner.
final class Scratch {
  let path: String

  init() {
    var template = Array("/tmp/bessemer-bundle-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    for name in Scratch.names(path) {
      for inner in Scratch.names(path + "/" + name) { unlink(path + "/\(name)/" + inner) }
      if unlink(path + "/" + name) != 0 { rmdir(path + "/" + name) }
    }
    rmdir(path)
  }

  func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// Everything in a folder, hidden files too.
  static func names(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The bytes of every file of a folder.
  static func contents(_ path: String) throws -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    for name in names(path) { contents[name] = try InputFile.contents(of: path + "/" + name).array }
    return contents
  }

  static func put(_ path: String, _ bytes: [UInt8]) throws {
    try AtomicWriter.write(to: path, overwrite: true) { try $0.write(bytes) }
  }
}

/// The code of the error that `body` throws.
func code(_ body: () throws -> Void) -> ErrorCode? {
  do {
    try body()
    return nil
  } catch { return (error as? BessemerError)?.code }
}

/// A generator that gives the same numbers every time.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// A tensor of numbers between -4 and 4.
  mutating func tensor(_ dtype: DType, _ shape: [Int]) throws -> Tensor {
    let count = shape.reduce(1, *)
    if dtype.isInteger {
      return try Tensor(dtype, shape: shape, integers: (0..<count).map { _ in Int64.random(in: -8...7, using: &self) })
    }
    return try Tensor(dtype, shape: shape, doubles: (0..<count).map { _ in Double.random(in: -4...4, using: &self) })
  }
}
