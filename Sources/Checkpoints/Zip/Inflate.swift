internal import CZlib
internal import Tensors

/// Unpacks deflate streams.
enum Inflate {
  /// What is around the data: nothing, RFC 1951, or a header and a checksum, RFC 1950.
  enum Wrapping: Int32 {
    case none = -15
    case zlib = 15
  }

  private static let pieceSize = 1 << 20

  /// Gives the `byteCount` bytes that `input` unpacks to, at most 1 MB at a time, until `body` says that it has enough.
  /// Throws ``ErrorCode/tensorLayout`` when there are more or fewer, or input is left over.
  static func forEachPiece(
    of input: Bytes, _ wrapping: Wrapping = .none, byteCount: Int, _ body: (UnsafeRawBufferPointer) throws -> Bool
  ) throws {
    // zlib keeps the address of the state, so it must not move.
    let state = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    state.initialize(to: z_stream())
    defer { state.deallocate() }
    guard inflateInit2_(state, wrapping.rawValue, zlibVersion(), Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw BessemerError(.memory, "no memory to unpack")
    }
    defer { inflateEnd(state) }
    let buffer = HeapMemory(byteCount: min(pieceSize, byteCount + 1))
    var (consumed, produced) = (0, 0)
    while true {
      try Interrupt.check()
      let window = input[consumed..<min(input.count, consumed + pieceSize)]
      let status = window.withUnsafeBytes { raw in
        // zlib only reads the input; both buffers outlive the call.
        state.pointee.next_in = raw.baseAddress.map {
          UnsafeMutablePointer(mutating: $0.assumingMemoryBound(to: Bytef.self))
        }
        state.pointee.avail_in = UInt32(raw.count)
        state.pointee.next_out = buffer.base.assumingMemoryBound(to: Bytef.self)
        state.pointee.avail_out = UInt32(buffer.byteCount)
        return inflate(state, Z_NO_FLUSH)
      }
      let (taken, made) = (
        window.count - Int(state.pointee.avail_in), buffer.byteCount - Int(state.pointee.avail_out)
      )
      guard status == Z_OK || status == Z_STREAM_END, taken + made > 0 || status == Z_STREAM_END else {
        throw BessemerError(
          .tensorLayout, "packed data is damaged or ends early, at byte \(consumed + taken) of \(input.count)")
      }
      consumed += taken
      input[(consumed - taken)..<consumed].releasePages()
      produced += made
      guard produced <= byteCount else {
        throw BessemerError(.tensorLayout, "packed data unpacks to more than the \(byteCount) bytes it should")
      }
      if made > 0, try !body(UnsafeRawBufferPointer(start: buffer.base, count: made)) { return }
      guard status == Z_STREAM_END else { continue }
      guard produced == byteCount, consumed == input.count else {
        throw BessemerError(
          .tensorLayout,
          "packed data unpacks to \(produced) of \(byteCount) bytes, from \(consumed) of \(input.count)")
      }
      return
    }
  }
}
