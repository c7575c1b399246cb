import Glibc
import Tensors

/// Standard output: buffered, and checked, so that a full disk or a closed pipe ends the command with an error.
final class StandardOutput {
  private var buffer: [UInt8] = []
  private static let bufferSize = 128 << 10

  /// Appends bytes; throws ``ErrorCode/diskFull`` or ``ErrorCode/outputFailed`` when they cannot be written.
  func write(_ bytes: [UInt8]) throws {
    buffer += bytes
    if buffer.count >= StandardOutput.bufferSize { try flush() }
  }

  func write(_ text: String) throws { try write(Array(text.utf8)) }

  /// Writes a line of text.
  func line(_ text: String = "") throws {
    buffer += text.utf8
    buffer.append(UInt8(ascii: "\n"))
    if buffer.count >= StandardOutput.bufferSize { try flush() }
  }

  /// Hands everything to the system.
  func flush() throws {
    let number = writeAll(buffer, to: STDOUT_FILENO)
    buffer.removeAll(keepingCapacity: true)
    guard number != 0 else { return }
    let code: ErrorCode = [ENOSPC, EDQUOT, EFBIG].contains(number) ? .diskFull : .outputFailed
    throw BessemerError(code, "cannot be written: \(String(cString: strerror(number)))", file: "standard output")
  }

  /// Forgets what was not handed over, before an error takes its place.
  func discard() { buffer.removeAll() }
}

/// Writes bytes completely; returns 0 or the error number. Waits for a descriptor that does not block.
@discardableResult
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
  bytes.withUnsafeBytes { raw in
    var done = 0
    while done < raw.count {
      // The pointer stays inside `raw`, which lives as long as this closure.
      let count = Glibc.write(descriptor, raw.baseAddress! + done, raw.count - done)
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&wait, 1, 1000)
        if Interrupt.isRequested { return EINTR }
      } else if errno != EINTR || Interrupt.isRequested {
        return errno
      }
    }
    return 0
  }
}
