extension TensorStore.Entry {
  /// The bytes in row-major order where they are had at once: a window of a mapped file, or memory. Nil where they come
  /// piece by piece.
  package func window() throws -> Bytes? { isStreamed ? nil : try tensor().bytes }

  /// Where in memory the bytes of a tensor lie that is a window of a mapped file: tensors of one place share their bytes.
  /// Nil for others.
  package func mappedAddress() throws -> UInt? { try window()?.mappedAddress }

  /// Gives the bytes in row-major order to `body` in pieces of `size` bytes, the last one maybe shorter. Pages of mapped
  /// files are given back after each.
  package func forEachPiece(of size: Int, _ body: (Bytes) throws -> Void) throws {
    // What does not fill a piece waits for the next bytes.
    var rest: [UInt8] = []
    func give(_ piece: Bytes) throws {
      try Interrupt.check()
      try body(piece)
    }
    try forEachPiece { bytes in
      var start = 0
      if !rest.isEmpty {
        start = min(size - rest.count, bytes.count)
        rest += bytes[0..<start].array
        guard rest.count == size else { return }
        try give(Bytes(rest))
        rest = []
      }
      while bytes.count - start >= size {
        let piece = bytes[start..<(start + size)]
        try give(piece)
        piece.releasePages()
        start += size
      }
      rest = bytes[start..<bytes.count].array
      bytes[start..<bytes.count].releasePages()
    }
    if !rest.isEmpty { try give(Bytes(rest)) }
  }
}
