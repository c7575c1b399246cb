/// Bytes that are given piece by piece, in order.
package typealias ByteStream = (_ body: (Bytes) throws -> Void) throws -> Void

/// Gives the bytes of a stream to `body` in pieces of `size` bytes, the last one maybe shorter. Pages of mapped files
/// are given back after each.
package func forEachPiece(of size: Int, in stream: ByteStream, _ body: (Bytes) throws -> Void) throws {
  // What does not fill a piece waits for the next bytes.
  var rest: [UInt8] = []
  try withoutActuallyEscaping(body) { body in
    try stream { bytes in
      var start = 0
      if !rest.isEmpty {
        start = min(size - rest.count, bytes.count)
        rest += bytes[0..<start].array
        guard rest.count == size else { return }
        try body(Bytes(rest))
        rest = []
      }
      while bytes.count - start >= size {
        try Interrupt.check()
        let piece = bytes[start..<(start + size)]
        try body(piece)
        piece.releasePages()
        start += size
      }
      rest = bytes[start..<bytes.count].array
      bytes[start..<bytes.count].releasePages()
    }
  }
  if !rest.isEmpty { try body(Bytes(rest)) }
}

/// Gives the pieces of two streams side by side, each by its own size; they end together or it is an error.
package func forEachPair(
  _ a: ByteStream, of aSize: Int, _ b: ByteStream, of bSize: Int, _ body: (Bytes, Bytes) throws -> Void
) throws {
  try withoutActuallyEscaping(b) { b in
    let other = PulledStream { body in try forEachPiece(of: bSize, in: b, body) }
    defer { other.stop() }
    try forEachPiece(of: aSize, in: a) { piece in
      guard let partner = try other.next() else { throw BessemerError(.tensorLayout, "a stream ends early") }
      try body(piece, partner)
    }
    guard try other.next() == nil else { throw BessemerError(.tensorLayout, "a stream goes on") }
  }
}

extension TensorStore.Entry {
  /// The bytes in row-major order where they are had at once: a window of a mapped file, or memory. Nil where they come
  /// piece by piece.
  package func window() throws -> Bytes? { isStreamed ? nil : try tensor().bytes }

  /// Where in memory the bytes of a tensor lie that is a window of a mapped file: tensors of one place share them. Nil
  /// for others.
  package func mappedAddress() throws -> UInt? { try window()?.mappedAddress }

  /// Gives the bytes in row-major order to `body` in pieces of `size` bytes, the last one maybe shorter. Pages of
  /// mapped files are given back after each.
  package func forEachPiece(of size: Int, _ body: (Bytes) throws -> Void) throws {
    try Tensors.forEachPiece(of: size, in: { try forEachPiece($0) }, body)
  }
}
