import Glibc

/// Immutable bytes kept alive by their owner: heap memory, or a window of a mapped file. Slicing does not copy.
///
/// Unsafe inside: the pointer is valid as long as `owner` lives, which the struct itself holds.
public struct Bytes: @unchecked Sendable {
  private let owner: AnyObject?
  private let base: UnsafeRawPointer?
  public let count: Int

  /// A window of `count` bytes at `base`, valid while `owner` lives and never written again.
  public init(owner: AnyObject?, base: UnsafeRawPointer?, count: Int) {
    precondition(count >= 0 && (base != nil || count == 0))
    self.owner = owner
    self.base = base
    self.count = count
  }

  /// A copy of the given bytes.
  public init(_ bytes: some Collection<UInt8>) {
    let memory = HeapMemory(byteCount: bytes.count)
    UnsafeMutableRawBufferPointer(start: memory.base, count: bytes.count).copyBytes(from: bytes)
    self.init(owner: memory, base: UnsafeRawPointer(memory.base), count: bytes.count)
  }

  /// Heap memory of `byteCount` zeroed bytes, 64-byte aligned, filled by `fill` before anyone else sees it.
  /// Throws ``ErrorCode/memory`` when the machine has not that much.
  public init(byteCount: Int, fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
    guard let memory = HeapMemory(checkedByteCount: byteCount) else {
      throw BessemerError(.memory, "cannot allocate \(byteCount) bytes")
    }
    try fill(UnsafeMutableRawBufferPointer(start: memory.base, count: byteCount))
    self.init(owner: memory, base: UnsafeRawPointer(memory.base), count: byteCount)
  }

  /// Where the bytes lie in memory, if that is a window of a mapped file.
  package var mappedAddress: UInt? { owner is MappedFile && count > 0 ? UInt(bitPattern: base) : nil }

  /// The window `range` of these bytes; the range must lie inside.
  public subscript(range: Range<Int>) -> Bytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice outside the bytes")
    return Bytes(owner: owner, base: base.map { $0 + range.lowerBound }, count: range.count)
  }

  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(owner) {} }
    return try body(UnsafeRawBufferPointer(start: base, count: count))
  }

  /// The bytes as an array.
  public var array: [UInt8] { withUnsafeBytes { Array($0) } }
}

extension Bytes: Equatable {
  /// Whether both hold the same bytes.
  public static func == (a: Bytes, b: Bytes) -> Bool {
    guard a.count == b.count else { return false }
    return a.withUnsafeBytes { x in
      b.withUnsafeBytes { y in a.count == 0 || memcmp(x.baseAddress!, y.baseAddress!, a.count) == 0 }
    }
  }
}

/// Owned, zeroed memory aligned to a cache line.
public final class HeapMemory: @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int

  public convenience init(byteCount: Int) {
    guard let memory = HeapMemory.allocate(byteCount) else { fatalError("cannot allocate \(byteCount) bytes") }
    self.init(base: memory, byteCount: byteCount)
  }

  /// Nil when the machine has not that much memory.
  public convenience init?(checkedByteCount byteCount: Int) {
    guard byteCount >= 0, let memory = HeapMemory.allocate(byteCount) else { return nil }
    self.init(base: memory, byteCount: byteCount)
  }

  private init(base: UnsafeMutableRawPointer, byteCount: Int) {
    self.base = base
    self.byteCount = byteCount
  }

  deinit {
    if byteCount < HeapMemory.hugePage { free(base) } else { munmap(base, HeapMemory.size(byteCount)!) }
  }

  private static let hugePage = 2 << 20

  /// The bytes to ask for, so that kernels may load whole vectors at the end; nil when there are too many.
  private static func size(_ byteCount: Int) -> Int? {
    let (size, overflow) = byteCount.addingReportingOverflow(127)
    return overflow ? nil : size & ~63
  }

  private static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    guard let size = size(byteCount) else { return nil }
    if byteCount >= hugePage { return map(size) }
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, 64, size) == 0, let pointer else { return nil }
    memset(pointer, 0, size)
    return pointer
  }

  /// Much memory is mapped by itself, given back when it is released, and as far as it goes in large pages, which are
  /// read faster.
  private static func map(_ size: Int) -> UnsafeMutableRawPointer? {
    let (whole, overflow) = size.addingReportingOverflow(hugePage)
    guard !overflow, let mapped = mmap(nil, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      mapped != MAP_FAILED
    else { return nil }
    // What stands before a large page begins, and behind the end, is given back.
    let before = (hugePage - Int(bitPattern: mapped) % hugePage) % hugePage
    if before > 0 { munmap(mapped, before) }
    let (base, page) = (mapped + before, Int(sysconf(Int32(_SC_PAGESIZE))))
    let end = (size + page - 1) / page * page
    if before + end < whole { munmap(base + end, whole - before - end) }
    madvise(base, size / hugePage * hugePage, MADV_HUGEPAGE)
    return base
  }
}
