import Glibc
public import Tensors

/// A folder for a test, of at most one level of folders, that goes away with its owner.
public final class Scratch {
  public let path: String

  public init() {
    var template = Array("/tmp/bessemer-test-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    chmod(path, 0o755)
    for name in names {
      for inner in Scratch.names(self(name)) { unlink(self(name) + "/" + inner) }
      if unlink(self(name)) != 0 { rmdir(self(name)) }
    }
    rmdir(path)
  }

  /// The path of a name in the folder.
  public func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// Everything in the folder, hidden files too.
  public var names: [String] { Scratch.names(path) }

  public func put(_ name: String, _ text: String) throws {
    try AtomicWriter.write(to: self(name)) { try $0.write(text) }
  }

  public func text(_ name: String) throws -> String {
    String(decoding: try InputFile.contents(of: self(name)).array, as: UTF8.self)
  }

  /// Everything in a folder, hidden files too; nothing when it is none.
  public static func names(_ path: String) -> [String] {
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

  /// The bytes of every file of a folder, and of those in it.
  public static func contents(_ path: String) throws -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    for name in names(path) {
      let inner = names(path + "/" + name)
      if inner.isEmpty { contents[name] = try InputFile.contents(of: path + "/" + name).array }
      if !inner.isEmpty { contents.merge(try self.contents(path + "/" + name)) { $1 } }
    }
    return contents
  }

  /// Writes a file, in place of an older one if there is one.
  public static func put(_ path: String, _ bytes: [UInt8]) throws {
    try AtomicWriter.write(to: path, overwrite: true) { try $0.write(bytes) }
  }
}

/// The code of the error that `body` throws.
public func code(_ body: () throws -> Void) -> ErrorCode? {
  do {
    try body()
    return nil
  } catch { return (error as? BessemerError)?.code }
}
