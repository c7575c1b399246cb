public import Checkpoints
import Glibc
import Tensors

/// A folder in memory for the files of a fuzz target.
public struct Folder: Sendable {
  public let path: String

  public init() {
    var template = Array("/dev/shm/bessemer-fuzz-XXXXXX".utf8CString)
    guard let path = template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap { mkdtemp($0) } }) else {
      fatalError("no folder to work in")
    }
    self.path = String(cString: path)
  }

  /// Writes a file, in place of an older one.
  public func put(_ name: String, _ bytes: [UInt8]) {
    let file = open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    precondition(file >= 0 && write(file, bytes, bytes.count) == bytes.count, "cannot write \(name)")
    close(file)
  }

  /// Puts a copy of the file at `path` under its own name.
  public func copy(_ path: String) {
    guard let file = try? InputFile(path: path), let bytes = try? file.read(at: 0, count: file.byteCount) else {
      fatalError("cannot read \(path)")
    }
    put(String(path.split(separator: "/").last ?? ""), bytes.array)
  }

  public func remove(_ name: String) { unlink(path + "/" + name) }
}

/// Bytes of a tensor that are read; larger ones stay untouched.
private let largestByteCount = 4 << 20

/// Reads the input as a file of a format, and of what is accepted every tensor that is not too large. Neither may give
/// bytes of another number than it says.
public func fuzz(_ format: some CheckpointFormat, in folder: Folder, _ start: UnsafePointer<UInt8>?, _ count: Int)
  -> CInt
{
  folder.put("input", Array(UnsafeBufferPointer(start: start, count: count)))
  _ = format.recognizes(Array(UnsafeBufferPointer(start: start, count: min(count, 512))))
  guard let store = try? format.read(folder.path + "/input") else { return 0 }
  for entry in store.entries where entry.byteCount <= largestByteCount {
    guard let tensor = try? entry.tensor() else { continue }
    precondition(tensor.bytes.count == entry.byteCount, "\(entry.name) has another size")
    var total = 0
    guard (try? entry.forEachPiece({ total += $0.count })) != nil else { fatalError("\(entry.name) differs in pieces") }
    precondition(total == entry.byteCount, "\(entry.name) has pieces of another size")
  }
  return 0
}
