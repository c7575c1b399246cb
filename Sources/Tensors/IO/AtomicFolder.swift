internal import CSystem
internal import Glibc
internal import Synchronization

/// Writes a folder of files that appears whole or not at all.
///
/// Everything goes to a temporary folder beside the target, which is renamed at the end. An existing folder is only
/// replaced with `overwrite` and when `mayReplace` says that it is one of ours; the two are exchanged in one step, then
/// the old one is removed. An existing empty folder is taken over. Refused is a folder that holds a mapped file, or is
/// one of `inputs`.
///
/// With a key the temporary folder `.NAME.bessemer-unfinished` stays when the work ends early, and the same key goes on
/// with it: files that were finished are not written again.
public final class AtomicFolder {
  private let target: OutputTarget
  private let overwrite: Bool
  private var descriptor: Int32
  private var journal: FolderJournal?
  private var subfolders: Set<String> = []
  private var unfinished = 0

  public init(
    path: String, overwrite: Bool = false, inputs: [FileIdentity] = [], key: String? = nil,
    mayReplace: (_ existing: String) throws -> Bool = { _ in false }
  ) throws {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    target = try OutputTarget(
      .folder, path: path, overwrite: overwrite, inputs: inputs, isKept: key != nil, mayReplace: mayReplace)
    self.overwrite = overwrite
    descriptor = -1
    do { try open() } catch {
      target.discard()
      throw error
    }
    guard let key else { return }
    journal = try FolderJournal(in: descriptor, path: path, key: key)
    guard journal == nil else { return }
    // What other work left.
    close(descriptor)
    sys_remove_tree(target.folder, target.temporary)
    try open()
    journal = try FolderJournal(in: descriptor, path: path, key: key)
  }

  /// Makes and opens the temporary folder; one that is kept may be there.
  private func open() throws {
    descriptor = -1
    guard mkdirat(target.folder, target.temporary, 0o777) == 0 || target.isKept && errno == EEXIST else {
      throw outputError(errno, "cannot be created", path)
    }
    descriptor = openat(target.folder, target.temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { throw outputError(errno, "cannot be opened", path) }
    Temporaries.lock(descriptor)
  }

  public var path: String { target.path }

  /// Finds out whether the disk, and the limits on this process, have room for `byteCount` bytes, before the first is
  /// written: reserves them and gives them back.
  public func ensureRoom(_ byteCount: Int) throws {
    let name = ".room"
    var file: Int32
    repeat {
      file = openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    } while file < 0 && errno == EINTR && !Interrupt.isRequested
    guard file >= 0 else { throw outputError(errno, "cannot be written to", path) }
    let status = byteCount > 0 ? sys_reserve(file, Int64(byteCount)) : 0
    let reason = errno
    close(file)
    unlinkat(descriptor, name, 0)
    guard status == 0 else { throw outputError(reason, "\(byteCount) bytes cannot be reserved", path) }
  }

  /// Writes a file of the folder by `body`. The name is plain and relative (see ``InputFolder``); folders in it are
  /// made. A file that was finished before is left as it is, and the note that was made then returned.
  @discardableResult
  public func write(
    _ name: String, byteCount: Int? = nil, note: () -> String = { "" }, _ body: (any ByteSink) throws -> Void
  ) throws -> String? {
    try InputFolder.checkName(name)
    try makeFolders(of: name)
    if let journal {
      if let done = journal.files[name], isFile(name, byteCount: done.byteCount) { return done.note }
      unlinkat(descriptor, name, 0)
    }
    unfinished += 1
    let file = try OutputFile(name: name, in: descriptor, path: target.path + "/" + name, byteCount: byteCount)
    try body(file)
    try file.finish()
    try journal?.add(name, byteCount: file.position, note: note())
    unfinished -= 1
    return nil
  }

  private func isFile(_ name: String, byteCount: Int) -> Bool {
    var status = stat()
    return fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFREG
      && Int(status.st_size) == byteCount
  }

  /// Writes a file of the folder by `body`, which writes every byte once, in any order and from any thread.
  package func writeParts(_ name: String, byteCount: Int, _ body: (PartsFile) throws -> Void) throws {
    try InputFolder.checkName(name)
    try makeFolders(of: name)
    unfinished += 1
    let file = try OutputFile(name: name, in: descriptor, path: target.path + "/" + name, byteCount: byteCount)
    let parts = PartsFile(file)
    try body(parts)
    try file.finish(parts.written)
    unfinished -= 1
  }

  /// Makes the folder durable and puts it in place. After an error nothing of it is left.
  public func commit() throws {
    precondition(unfinished == 0, "a file of the folder was not written")
    do {
      if journal != nil { unlinkat(descriptor, FolderJournal.name, 0) }
      for name in subfolders.sorted() + ["."] { try sync(name) }
      try target.commit(overwrite: overwrite || !target.replaces, exchange: target.replaces)
      target.discard()
    } catch {
      cancel()
      throw error
    }
  }

  /// Removes what was written, unless it is kept. So does `deinit` without a commit.
  public func cancel() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    journal = nil
    target.discard()
  }

  deinit { cancel() }

  /// Writes a folder by `body`: complete, or not at all when it throws.
  public static func write(
    to path: String, overwrite: Bool = false, inputs: [FileIdentity] = [], key: String? = nil,
    mayReplace: (_ existing: String) throws -> Bool = { _ in false }, _ body: (AtomicFolder) throws -> Void
  ) throws {
    let folder = try AtomicFolder(path: path, overwrite: overwrite, inputs: inputs, key: key, mayReplace: mayReplace)
    do { try body(folder) } catch {
      folder.cancel()
      throw error
    }
    try folder.commit()
  }

  private func makeFolders(of name: String) throws {
    var prefix = ""
    for part in splitPath(name).folder.split(separator: "/") where part != "." {
      prefix += (prefix.isEmpty ? "" : "/") + part
      guard subfolders.insert(prefix).inserted else { continue }
      guard mkdirat(descriptor, prefix, 0o777) == 0 || target.isKept && errno == EEXIST else {
        throw outputError(errno, "the folder \(quoted(prefix)) cannot be created", path)
      }
    }
  }

  private func sync(_ name: String) throws {
    let folder = openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard folder >= 0 else { throw outputError(errno, "cannot be opened", path) }
    defer { close(folder) }
    guard fsync(folder) == 0 || errno == EINVAL else { throw outputError(errno, "cannot be synced to disk", path) }
  }
}

/// A file that is written by place.
package final class PartsFile: @unchecked Sendable {
  // Only ever written by place, which any thread may do.
  private let file: OutputFile
  private let count = Mutex(0)

  init(_ file: OutputFile) { self.file = file }

  /// Bytes written so far.
  var written: Int { count.withLock { $0 } }

  package func write(_ bytes: Bytes, at offset: Int) throws {
    try file.write(bytes, at: offset)
    count.withLock { $0 += bytes.count }
  }
}
