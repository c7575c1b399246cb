internal import CSystem
internal import Glibc

/// A file without a name that holds a tensor while its bytes are needed in another order than they are made in.
enum Spool {
  /// What is kept in memory instead.
  private static let memoryByteCount = 4 << 20

  /// The bytes of a stream, in memory if they are few, else in a file that goes away by itself.
  static func bytes(of entry: TensorStore.Entry, in folder: String) throws -> TensorBytes {
    guard entry.byteCount > memoryByteCount else { return TensorBytes(try entry.tensor().bytes) }
    let file = try SpoolFile(in: folder)
    try entry.forEachPiece { try file.append($0) }
    let count = file.count
    guard count == entry.byteCount else {
      throw BessemerError(.tensorLayout, "\(entry.type) does not take \(count) bytes", file: entry.file)
    }
    return TensorBytes(count: count) { range, target in
      try file.read(range, into: target)
    }
  }
}

/// A file that has no name, for writing once and reading in any order.
private final class SpoolFile: @unchecked Sendable {
  private let descriptor: Int32
  private let folder: String
  private(set) var count = 0

  init(in folder: String) throws {
    self.folder = folder
    descriptor = sys_open_temporary(folder)
    guard descriptor >= 0 else { throw outputError(errno, "no temporary file can be made", folder) }
  }

  deinit { close(descriptor) }

  func append(_ bytes: Bytes) throws {
    try bytes.withUnsafeBytes { raw in
      var done = 0
      while done < raw.count {
        try Interrupt.check()
        guard let base = raw.baseAddress else { return }
        let written = pwrite(descriptor, base + done, min(raw.count - done, 1 << 20), off_t(count + done))
        if written >= 0 {
          done += written
        } else if errno != EINTR {
          throw outputError(errno, "a temporary file cannot be written", folder)
        }
      }
    }
    count += bytes.count
  }

  func read(_ range: Range<Int>, into target: UnsafeMutableRawPointer) throws {
    var done = 0
    while done < range.count {
      let got = pread(descriptor, target + done, range.count - done, off_t(range.lowerBound + done))
      if got > 0 {
        done += got
      } else if got == 0 || errno != EINTR {
        throw BessemerError(.outputFailed, "a temporary file cannot be read: \(errorText(errno))", file: folder)
      }
    }
  }
}
