internal import Tensors

/// Big-endian data in the order of this program's memory.
enum ByteOrder {
  private static let pieceByteCount = 1 << 20

  /// Gives the elements with their bytes reversed, a piece at a time.
  static func forEachPiece(of bytes: Bytes, elementByteCount size: Int, _ body: (Bytes) throws -> Void) throws {
    for start in stride(from: 0, to: bytes.count, by: pieceByteCount) {
      try Interrupt.check()
      let piece = bytes[start..<min(bytes.count, start + pieceByteCount)]
      try body(
        Bytes(byteCount: piece.count) { target in
          piece.withUnsafeBytes { source in
            for first in stride(from: 0, to: source.count, by: size) {
              for index in 0..<size { target[first + index] = source[first + size - 1 - index] }
            }
          }
        })
    }
  }

  /// A copy of blocks in which the 16-bit numbers at these offsets have their bytes swapped.
  static func swapHalves(at offsets: [Int], ofEach byteCount: Int, in blocks: Bytes) throws -> Bytes {
    try Bytes(byteCount: blocks.count) { target in
      blocks.withUnsafeBytes { target.copyMemory(from: $0) }
      for block in stride(from: 0, to: target.count, by: byteCount) {
        for offset in offsets { target.swapAt(block + offset, block + offset + 1) }
      }
    }
  }
}

extension BlockType {
  /// Where a block has its numbers of two bytes; nil for an encoding that has others too.
  var halfOffsets: [Int]? {
    switch self {
    case .q10, .q20, .q40, .q50, .q80, .iq4nl: [0]
    case .q41, .q51, .q4k, .q5k: [0, 2]
    case .q2k: [80, 82]
    case .q3k: [108]
    case .q6k: [208]
    case .tq10: [52]
    case .tq20: [64]
    case .mxfp4, .nvfp4: []
    case .q8k, .iq1s, .iq1m, .iq2xxs, .iq2xs, .iq2s, .iq3xxs, .iq3s, .iq4xs: nil
    }
  }
}
