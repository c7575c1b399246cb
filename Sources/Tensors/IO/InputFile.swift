internal import CSystem
internal import Glibc

/// Which file it is and in which state: enough to notice that it was replaced, cut, extended or written.
public struct FileIdentity: Hashable, Sendable, CustomStringConvertible {
  let device: UInt
  let inode: UInt
  let byteCount: Int
  let seconds: Int
  let nanoseconds: Int

  init(_ status: stat) {
    device = UInt(status.st_dev)
    inode = UInt(status.st_ino)
    byteCount = Int(status.st_size)
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }

  public var description: String { "\(device):\(inode) \(byteCount) \(seconds).\(nanoseconds)" }

  /// Whether both are the same file, in whatever state.
  func isSameFile(_ other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

/// An open regular file, read by position into memory of our own.
///
/// Directories, pipes, sockets and devices are refused without waiting for them. Nothing that is parsed is read from
/// a mapping, where it could change between two looks.
public final class InputFile: @unchecked Sendable {
  /// The path as the user or the naming file spelled it.
  public let path: String
  /// The file and its state when it was opened.
  public let identity: FileIdentity
  package let descriptor: Int32

  /// Size in bytes when the file was opened.
  public var byteCount: Int { identity.byteCount }

  public convenience init(path: String) throws {
    guard !path.utf8.contains(0) else { throw BessemerError(.fileMissing, "the path contains a NUL byte", file: path) }
    let descriptor = sys_open_input(path)
    guard descriptor >= 0 else { throw InputFile.openError(errno, path) }
    try self.init(adopting: descriptor, path: path, allowsHardLinks: true)
  }

  /// Takes over a descriptor; closes it when the file cannot be used.
  init(adopting descriptor: Int32, path: String, allowsHardLinks: Bool) throws {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let reason = errorText(errno)
      close(descriptor)
      throw BessemerError(.fileUnreadable, "cannot be examined: \(reason)", file: path)
    }
    if let kind = InputFile.specialKind(status.st_mode) {
      close(descriptor)
      throw BessemerError(.notRegularFile, "is \(kind), expected a regular file", file: path)
    }
    guard allowsHardLinks || status.st_nlink == 1 else {
      close(descriptor)
      throw BessemerError(.pathEscape, "has \(status.st_nlink) hard links, expected a file of its own", file: path)
    }
    self.path = path
    self.identity = FileIdentity(status)
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Exactly `count` bytes from `offset` on, in memory of their own. Throws ``ErrorCode/truncated`` when the file was
  /// never that long and ``ErrorCode/inputChanged`` when it has become shorter.
  public func read(at offset: Int, count: Int) throws -> Bytes {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= byteCount else {
      throw BessemerError(.truncated, "truncated: \(count) bytes at byte \(offset) of \(byteCount)", file: path)
    }
    return try inFile(path) { try Bytes(byteCount: count) { try fill($0, at: offset) } }
  }

  /// The whole file, which must not be larger than `limit` bytes.
  public func readAll(limit: Int) throws -> Bytes {
    guard byteCount <= limit else {
      throw BessemerError(.limit, "file of \(byteCount) bytes, at most \(limit) are read", file: path)
    }
    return try read(at: 0, count: byteCount)
  }

  /// The whole file at `path`, which must not be larger than `limit` bytes.
  public static func contents(of path: String, limit: Int = 64 << 20) throws -> Bytes {
    try InputFile(path: path).readAll(limit: limit)
  }

  /// Maps the file. The mapping stays when the descriptor is closed.
  public func map() throws -> MappedFile { try MappedFile(self) }

  /// Fills `buffer` from `offset` on.
  func fill(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < buffer.count {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<min(buffer.count, done + 1 << 26)])
      let count = pread(descriptor, piece.baseAddress, piece.count, off_t(offset + done))
      if count > 0 {
        done += count
      } else if count == 0 {
        throw BessemerError(.inputChanged, "shrank while it was read, at byte \(offset + done)", file: path)
      } else if errno == EINTR {
        try Interrupt.check()
      } else {
        throw BessemerError(.fileUnreadable, "cannot be read at byte \(offset + done): \(errorText(errno))", file: path)
      }
    }
  }

  /// Why a file could not be opened.
  static func openError(_ number: Int32, _ path: String) -> BessemerError {
    switch number {
    case ENOENT:
      var status = stat()
      let isLink = lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
      return BessemerError(.fileMissing, isLink ? "is a symbolic link to nothing" : "no such file", file: path)
    case ENOTDIR: return BessemerError(.fileMissing, "no such file: a part of the path is no folder", file: path)
    case ELOOP:
      return BessemerError(
        .notRegularFile, "is a symbolic link that is not followed here, or leads to itself", file: path)
    case ENXIO, ENODEV:
      return BessemerError(.notRegularFile, "is a socket or device, expected a regular file", file: path)
    case EXDEV: return BessemerError(.pathEscape, "leads out of its folder", file: path)
    default: return BessemerError(.fileUnreadable, "cannot be opened: \(errorText(number))", file: path)
    }
  }

  /// What a file that is not regular is.
  static func specialKind(_ mode: mode_t) -> String? {
    switch mode & S_IFMT {
    case S_IFREG: nil
    case S_IFDIR: "a folder"
    case S_IFIFO: "a pipe"
    case S_IFSOCK: "a socket"
    case S_IFCHR, S_IFBLK: "a device"
    case S_IFLNK: "a symbolic link"
    default: "no regular file"
    }
  }
}

/// The system's text for an error number.
func errorText(_ number: Int32) -> String {
  // strerror returns a string that stays until the next call on this thread.
  strerror(number).map { String(cString: $0) } ?? "error \(number)"
}
