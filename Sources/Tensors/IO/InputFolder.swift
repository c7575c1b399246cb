internal import CSystem
internal import Glibc

/// The folder of a model, and the one way to open files that other files name.
///
/// Names must be plain and relative: no empty, `.` or `..` component, no NUL, no backslash, no scheme, not absolute.
public final class InputFolder: @unchecked Sendable {
  /// What a named file may be.
  public enum Links: Sendable {
    /// No symbolic link on the way and no second hard link: for files whose bytes are taken as they are.
    case refused
    /// Links are followed, as Hugging Face's cache consists of them: for files that are parsed strictly.
    case followed
  }

  public let path: String
  /// The folder itself, for ``AtomicFolder``: an output must not replace it.
  public let identity: FileIdentity
  private let descriptor: Int32

  public init(path: String) throws {
    self.path = path
    guard !path.utf8.contains(0) else { throw BessemerError(.fileMissing, "the path contains a NUL byte", file: path) }
    let folder = sys_open_folder(path.isEmpty ? "." : path)
    guard folder >= 0 else {
      guard errno == ENOTDIR else { throw InputFile.openError(errno, path) }
      throw BessemerError(.notRegularFile, "is no folder", file: path)
    }
    descriptor = folder
    var status = stat()
    let isKnown = fstat(folder, &status) == 0
    identity = FileIdentity(status)
    guard isKnown else { throw BessemerError(.fileUnreadable, "cannot be examined: \(errorText(errno))", file: path) }
  }

  /// The folder that holds the file at `path`.
  public convenience init(of path: String) throws {
    try self.init(path: splitPath(path).folder)
  }

  deinit { close(descriptor) }

  /// Opens a file that another file names. Throws ``ErrorCode/pathEscape`` for a name that is not plain.
  public func open(_ name: String, links: Links) throws -> InputFile {
    try InputFolder.checkName(name)
    let full = joined(name)
    let file = sys_open_input_at(descriptor, name, links == .followed ? 1 : 0)
    guard file >= 0 else { throw InputFile.openError(errno, full) }
    return try InputFile(adopting: file, path: full, allowsHardLinks: links == .followed)
  }

  /// Whether a file or folder of this name exists.
  public func contains(_ name: String) -> Bool { faccessat(descriptor, name, F_OK, 0) == 0 }

  /// The names in the folder, sorted by bytes, without hidden ones; one that is not UTF-8 is `?`.
  public func names(limit: Int = 100_000) throws -> [String] {
    let names = try entries(limit: limit + 1, includingHidden: false)
    guard names.count <= limit else { throw BessemerError(.limit, "more than \(limit) files", file: path) }
    return names.sorted().map(\.string)
  }

  /// The first `limit` names that the system gives.
  private func entries(limit: Int, includingHidden: Bool) throws -> [TensorName] {
    let names = InputFolder.names(in: descriptor, limit: limit) { includingHidden || !$0.hasPrefix(".") }
    guard let names else {
      throw BessemerError(.fileUnreadable, "cannot be listed: \(errorText(errno))", file: path)
    }
    return names.map { TensorName($0) }
  }

  /// The names in an open folder that `body` takes, but for `.` and `..`; one that is not UTF-8 is `?`. Nil, and the
  /// reason in errno, when the folder cannot be listed.
  static func names(in folder: Int32, limit: Int = .max, where body: (String) -> Bool) -> [String]? {
    let copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0 else { return nil }
    guard let stream = fdopendir(copy) else {
      let reason = errno
      close(copy)
      errno = reason
      return nil
    }
    defer { closedir(stream) }
    var names: [String] = []
    while names.count < limit, let entry = readdir(stream) {
      // d_name is a NUL-terminated array inside the entry, valid until the next readdir.
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(validatingCString: $0) ?? "?" }
      }
      if name != ".", name != "..", body(name) { names.append(name) }
    }
    return names
  }

  /// Whether the folder holds regular files alone, no links, devices or hidden files, and folders only of these names
  /// that do so too.
  public func holdsOnlyFiles(andFolders folders: Set<String> = []) throws -> Bool {
    try entries(limit: 100_000, includingHidden: true).allSatisfy { name in
      var status = stat()
      guard !name.string.hasPrefix("."), fstatat(descriptor, name.string, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
        return false
      }
      if status.st_mode & S_IFMT == S_IFREG { return true }
      guard status.st_mode & S_IFMT == S_IFDIR, folders.contains(name.string) else { return false }
      return try InputFolder(path: joined(name.string)).holdsOnlyFiles()
    }
  }

  /// Whether nothing at all is in the folder.
  func isEmpty() throws -> Bool { try entries(limit: 1, includingHidden: true).isEmpty }

  /// The path of a name in this folder.
  public func joined(_ name: String) -> String {
    path.isEmpty || path == "." ? name : path.utf8.last == UInt8(ascii: "/") ? path + name : path + "/" + name
  }

  /// Throws ``ErrorCode/pathEscape`` unless `name` is plain and relative.
  public static func checkName(_ name: String) throws {
    func refuse(_ why: String) -> BessemerError {
      BessemerError(.pathEscape, "file name \(quoted(name)) \(why), expected a plain relative name")
    }
    guard !name.isEmpty else { throw refuse("is empty") }
    guard name.utf8.count <= 4096 else { throw refuse("is \(name.utf8.count) bytes long") }
    guard !name.utf8.contains(0) else { throw refuse("contains a NUL byte") }
    guard !name.utf8.contains(UInt8(ascii: "\\")) else { throw refuse("contains a backslash") }
    guard !name.utf8.contains(UInt8(ascii: ":")) else { throw refuse("contains a colon") }
    guard name.utf8.first != UInt8(ascii: "/") else { throw refuse("is absolute") }
    for part in name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      if part.isEmpty { throw refuse("has an empty component") }
      if part.elementsEqual(".".utf8) || part.elementsEqual("..".utf8) { throw refuse("climbs or stays in its folder") }
    }
  }
}

/// The folder and the last component of a path; the folder of a bare name is `.`.
package func splitPath(_ path: String) -> (folder: String, name: String) {
  let utf8 = path.utf8
  guard let slash = utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
  let name = String(path[utf8.index(after: slash)...])
  return (slash == utf8.startIndex ? "/" : String(path[..<slash]), name)
}
