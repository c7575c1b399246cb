internal import CSystem
internal import Glibc

/// A file without a name that lives in memory, where what was never written takes none: for libraries that write files
/// themselves.
package final class MemoryFile {
  private let descriptor: Int32

  package init() throws {
    descriptor = sys_memory_file()
    guard descriptor >= 0 else {
      throw BessemerError(.memory, "a file in memory cannot be made: \(errorText(errno))")
    }
  }

  deinit { close(descriptor) }

  /// By which this process, and no other, opens the file.
  package var path: String { "/proc/self/fd/\(descriptor)" }

  package func byteCount() throws -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw BessemerError(.memory, "a file in memory cannot be examined: \(errorText(errno))")
    }
    return Int(status.st_size)
  }

  /// Writes a range of the file to a sink, at most 1 MB at a time.
  package func copy(_ range: Range<Int>, to sink: some ByteSink) throws {
    var buffer = [UInt8](repeating: 0, count: min(range.count, 1 << 20))
    var position = range.lowerBound
    while position < range.upperBound {
      let wanted = min(buffer.count, range.upperBound - position)
      let count = pread(descriptor, &buffer, wanted, off_t(position))
      guard count > 0 else { throw BessemerError(.outputFailed, "a file in memory ends at byte \(position)") }
      try buffer.withUnsafeBytes { try sink.write(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      position += count
    }
  }
}
