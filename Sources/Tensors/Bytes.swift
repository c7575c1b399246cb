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

  deinit { free(base) }

  private static let hugePage = 2 << 20

  private static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    var pointer: UnsafeMutableRawPointer?
    // Rounded up so that kernels may load whole vectors at the end.
    let (size, overflow) = byteCount.addingReportingOverflow(127)
    let isLarge = byteCount >= hugePage
    guard !overflow, posix_memalign(&pointer, isLarge ? hugePage : 64, size & ~63) == 0, let pointer else { return nil }
    // Large pages are read faster, and whole ones take no more memory.
    if isLarge { madvise(pointer, byteCount / hugePage * hugePage, MADV_HUGEPAGE) }
    memset(pointer, 0, size & ~63)
    return pointer
  }
}
