internal import CSystem
internal import Glibc

/// Runs code that may crash, or take what it wants, in a child process: for C libraries that parse files of strangers.
///
/// The child is a copy of this process. It has limits, leaves nothing behind but bytes that it returns, and what
/// becomes
/// of it touches nobody.
package enum Contained {
  /// What a child may take.
  package struct Limits: Sendable {
    /// Bytes of addresses beyond those that the process has.
    package var memoryByteCount = 192 << 20
    /// Processor time, and as much again of waiting.
    package var seconds = 4
    /// Bytes that it may return.
    package var resultByteCount = 128 << 20

    package init() {}
  }

  /// What `body` returns, in the child, of which everything else is gone. Errors that it throws are thrown here. Throws
  /// ``ErrorCode/header`` when the child crashed and ``ErrorCode/limit`` when it took too much.
  package static func run(_ limits: Limits = Limits(), _ body: () throws -> [UInt8]) throws -> Bytes {
    try withoutActuallyEscaping(body) { body in
      let work = Work(body)
      var output: Int32 = -1
      let child = sys_contain(
        { context, output in
          guard let context else { return 98 }
          // The parent keeps the object alive; this is the child's own copy.
          return Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().run(output)
        }, Unmanaged.passUnretained(work).toOpaque(), Int64(limits.memoryByteCount), Int32(limits.seconds), &output)
      guard child > 0 else {
        throw BessemerError(.memory, "a process of its own cannot be started: \(errorText(errno))")
      }
      defer { close(output) }
      let bytes: [UInt8]
      do { bytes = try receive(output, limits) } catch {
        _ = sys_reap(child, 1)
        throw error
      }
      return try result(bytes, status: sys_reap(child, 0))
    }
  }

  /// No more system calls of this process, which is a child, but those that memory and open files need; opening files
  /// for reading only while `opening`.
  package static func confine(opening: Bool) { sys_confine(opening ? 1 : 0) }

  /// Sent before a result, and before the text of an error.
  private static let done: UInt8 = 0
  private static let failed: UInt8 = 1

  private final class Work {
    private let body: () throws -> [UInt8]

    init(_ body: @escaping () throws -> [UInt8]) { self.body = body }

    /// Runs in the child.
    func run(_ output: Int32) -> Int32 {
      do {
        let result = try body()
        return send([Contained.done], output) && send(result, output) ? 0 : 1
      } catch let error as BessemerError {
        let text = [Contained.failed] + Array((error.code.rawValue + "\n" + error.message).utf8)
        return send(text, output) ? 0 : 1
      } catch { return 1 }
    }

    private func send(_ bytes: [UInt8], _ output: Int32) -> Bool {
      bytes.withUnsafeBytes { raw in
        var done = 0
        while done < raw.count {
          let count = write(output, raw.baseAddress?.advanced(by: done), raw.count - done)
          guard count > 0 || errno == EINTR else { return false }
          done += max(count, 0)
        }
        return true
      }
    }
  }

  /// Everything that the child sends until it ends.
  private static func receive(_ output: Int32, _ limits: Limits) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var waited = 0
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      try Interrupt.check()
      var event = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
      let ready = poll(&event, 1, 100)
      if ready == 0 {
        waited += 1
        guard waited < 20 * limits.seconds else {
          throw BessemerError(.limit, "reading its structure takes more than \(2 * limits.seconds) seconds")
        }
      }
      guard ready > 0 else { continue }
      let count = read(output, &buffer, buffer.count)
      if count == 0 { return bytes }
      guard count > 0 else { continue }
      bytes += buffer[..<count]
      guard bytes.count <= limits.resultByteCount else {
        throw BessemerError(.limit, "what describes its tensors takes more than \(limits.resultByteCount) bytes")
      }
    }
  }

  private static func result(_ bytes: [UInt8], status: Int32) throws -> Bytes {
    guard status == 0, let first = bytes.first else {
      let what = status == -SIGXCPU || status == -SIGKILL ? "took too much time or memory" : "failed (\(status))"
      throw BessemerError(
        status == -SIGXCPU || status == -SIGKILL ? .limit : .header,
        "the library that reads its structure \(what); the file is damaged, or not what it seems")
    }
    guard first == failed else { return Bytes(bytes[1...]) }
    let parts = String(decoding: bytes[1...], as: UTF8.self).split(separator: "\n", maxSplits: 1)
    throw BessemerError(
      parts.first.flatMap { ErrorCode(rawValue: String($0)) } ?? .header, parts.count > 1 ? String(parts[1]) : "")
  }
}
