internal import CSystem
internal import Glibc
internal import Synchronization

/// A regular file mapped for reading. Its bytes are read by the system when they are touched, and shared with its
/// cache.
///
/// Should the file shrink, touching what is gone ends the process, see ``Interrupt/installHandlers()``. Whoever writes
/// an output from mapped inputs lets ``AtomicWriter`` check that they are unchanged before the output appears.
public final class MappedFile: @unchecked Sendable {
  /// The path as the user or the naming file spelled it.
  public let path: String
  /// The file and its state when it was opened.
  public let identity: FileIdentity
  /// The path by which the file is found again even if the working folder changes.
  private let absolutePath: String
  private let base: UnsafeMutableRawPointer?
  private let slot: Int32

  public var byteCount: Int { identity.byteCount }

  public convenience init(path: String) throws { try self.init(InputFile(path: path)) }

  /// Maps an open file.
  public init(_ file: InputFile) throws {
    path = file.path
    identity = file.identity
    absolutePath = MappedFile.absolute(file.path)
    if file.byteCount == 0 {
      base = nil
    } else {
      let memory = mmap(nil, file.byteCount, PROT_READ, MAP_PRIVATE, file.descriptor, 0)
      guard let memory, memory != MAP_FAILED else {
        let code: ErrorCode = errno == ENOMEM ? .memory : .fileUnreadable
        throw BessemerError(code, "cannot be mapped: \(errorText(errno))", file: file.path)
      }
      base = memory
    }
    slot = base.map { sys_mapping_add($0, UInt64(file.byteCount), file.path) } ?? -1
    LiveInputs.add(self)
  }

  deinit {
    LiveInputs.remove(self)
    sys_mapping_drop(slot)
    if let base { munmap(base, byteCount) }
  }

  /// The whole file.
  public var bytes: Bytes { Bytes(owner: self, base: base.map { UnsafeRawPointer($0) }, count: byteCount) }

  /// The window `range` of the file; the range must lie inside.
  public subscript(range: Range<Int>) -> Bytes { bytes[range] }

  /// Throws ``ErrorCode/inputChanged`` when the mapped file itself was written to. One that was removed or replaced is
  /// none of that: the mapping keeps its contents.
  public func checkUnchanged() throws {
    var status = stat()
    guard stat(absolutePath, &status) == 0 else { return }
    let now = FileIdentity(status)
    guard !now.isSameFile(identity) || now == identity else {
      throw BessemerError(.inputChanged, "changed while it was read", file: path)
    }
  }

  /// The file opened again for reading by descriptor; throws ``ErrorCode/inputChanged`` when it is not the same any
  /// more.
  func reopened() throws -> InputFile {
    let file: InputFile
    do { file = try InputFile(path: absolutePath) } catch {
      throw BessemerError(.inputChanged, "went away while it was read", file: path)
    }
    guard file.identity == identity else { throw BessemerError(.inputChanged, "changed while it was read", file: path) }
    return file
  }

  /// Fills `buffer` from `offset` on by descriptor.
  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
    let file = try OpenInputs.file(of: self)
    try inFile(path) { try file.fill(buffer, at: offset) }
  }

  /// Where `pointer` points into this file, if it does.
  func offset(of pointer: UnsafeRawPointer) -> Int? {
    guard let base, pointer >= UnsafeRawPointer(base), pointer < UnsafeRawPointer(base) + byteCount else { return nil }
    return pointer - UnsafeRawPointer(base)
  }

  /// The addresses of the mapping, which starts at a page.
  var start: UInt { UInt(bitPattern: base) }
  var end: UInt { start + UInt(byteCount) }

  /// The folder that holds the file, and the file itself, without links; nil when they are gone.
  var realPaths: [String] { [realPath(splitPath(absolutePath).folder), realPath(absolutePath)].compactMap { $0 } }

  private static func absolute(_ path: String) -> String {
    guard path.utf8.first != UInt8(ascii: "/"), let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }
}

extension Bytes {
  /// The mapped file that the bytes are a window of, and where in it they start.
  var mapping: (file: MappedFile, offset: Int)? {
    withUnsafeBytes { raw in
      raw.baseAddress.flatMap { base in LiveInputs.containing(base).map { ($0, $0.offset(of: base) ?? 0) } }
    }
  }

  /// Copies the bytes to `target`, which has room for them; those of a mapped file by descriptor, so that none of its
  /// pages stay in memory.
  package func read(into target: UnsafeMutableRawPointer) throws {
    if let (file, offset) = mapping {
      try file.read(at: offset, into: UnsafeMutableRawBufferPointer(start: target, count: count))
    } else {
      withUnsafeBytes { if let base = $0.baseAddress { target.copyMemory(from: base, byteCount: count) } }
    }
  }

  /// Gives the memory of a window of a mapped file back to the system, which reads it again when it is touched; does
  /// nothing for other bytes. Whoever goes through large files once thus stays small.
  package func releasePages() {
    withUnsafeBytes { raw in
      guard let base = raw.baseAddress, let file = LiveInputs.containing(base) else { return }
      // The system maps some pages around one that is touched: they go too. The mapping is read-only, so nothing can be
      // lost, and what others still need is mapped again.
      let around: UInt = 1 << 16
      let start = max(UInt(bitPattern: base) / around * around, file.start)
      let end = min((UInt(bitPattern: base) + UInt(raw.count) + around - 1) / around * around, file.end)
      if start < end { madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED) }
    }
  }
}

/// `path` without links, `.` and `..`; nil when nothing is there.
func realPath(_ path: String) -> String? {
  guard let resolved = realpath(path, nil) else { return nil }
  defer { free(resolved) }
  return String(cString: resolved)
}

/// The few mapped files that were last read by descriptor, so that thousands of shards need no thousand descriptors.
enum OpenInputs {
  private static let files = Mutex<[(owner: ObjectIdentifier, start: UInt, file: InputFile)]>([])
  private static let limit = 16

  static func file(of mapped: MappedFile) throws -> InputFile {
    let owner = ObjectIdentifier(mapped)
    let known = files.withLock { list in list.first { $0.owner == owner && $0.start == mapped.start }?.file }
    if let known, known.identity == mapped.identity { return known }
    let file = try mapped.reopened()
    let closed = files.withLock { list in
      let last = list.count >= limit ? list.removeFirst().file : nil
      list.append((owner, mapped.start, file))
      return last
    }
    _ = closed
    return file
  }
}

/// All mapped files of the process, so that no output can replace one and no changed one goes unnoticed.
enum LiveInputs {
  private struct Weak: @unchecked Sendable {
    weak var file: MappedFile?
    let id: ObjectIdentifier
    let start: UInt
  }

  /// Sorted by address. No strong reference may end while the lock is held: its `deinit` would take the lock again.
  private static let files = Mutex<[Weak]>([])

  static func add(_ file: MappedFile) {
    let entry = Weak(file: file, id: ObjectIdentifier(file), start: file.start)
    files.withLock { list in list.insert(entry, at: position(of: entry.start, in: list)) }
  }

  static func remove(_ file: MappedFile) {
    let (id, start) = (ObjectIdentifier(file), file.start)
    files.withLock { list in
      var index = position(of: start, in: list)
      while index < list.count, list[index].start == start {
        if list[index].id == id {
          list.remove(at: index)
          return
        }
        index += 1
      }
    }
  }

  /// All files that are mapped now.
  static var all: [MappedFile] { files.withLock { list in list.compactMap(\.file) } }

  /// The mapped file that `pointer` points into.
  static func containing(_ pointer: UnsafeRawPointer) -> MappedFile? {
    let address = UInt(bitPattern: pointer)
    let candidate = files.withLock { list in
      let index = position(of: address + 1, in: list)
      return index > 0 ? list[index - 1].file : nil
    }
    return candidate?.offset(of: pointer) == nil ? nil : candidate
  }

  /// The first index whose address is not below `address`.
  private static func position(of address: UInt, in list: [Weak]) -> Int {
    var (low, high) = (0, list.count)
    while low < high {
      let middle = (low + high) / 2
      if list[middle].start < address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
