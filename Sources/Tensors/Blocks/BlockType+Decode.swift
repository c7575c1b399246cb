extension BlockType {
  /// Numbers that are decoded at a time: 1 MB, a multiple of every block.
  private static let pieceElementCount = 1 << 18

  /// Decodes a range of the numbers of `blocks`, which need not start or end at a block, to `target`, which takes
  /// exactly these. The same float32 operations in the same order as in the Python package `gguf`.
  public func decode(_ elements: Range<Int>, of blocks: Bytes, to target: UnsafeMutableRawBufferPointer) {
    precondition(elements.lowerBound >= 0 && target.count == elements.count * 4, "the target has another size")
    precondition((elements.upperBound + elementCount - 1) / elementCount * byteCount <= blocks.count, "blocks lack")
    guard let output = target.baseAddress, !elements.isEmpty else { return }
    blocks.withUnsafeBytes { raw in
      guard let input = raw.baseAddress else { return }
      withUnsafeTemporaryAllocation(of: Float.self, capacity: elementCount) { whole in
        guard let scratch = whole.baseAddress else { return }
        var next = elements.lowerBound
        while next < elements.upperBound {
          let block = next / elementCount
          let first = next - block * elementCount
          let count = min(elementCount - first, elements.upperBound - next)
          let place = output + (next - elements.lowerBound) * 4
          // The block lies inside `blocks`, and `place` has room for `count` numbers, as checked above.
          decode(input + block * byteCount, to: scratch)
          place.copyMemory(from: scratch + first, byteCount: count * 4)
          next += count
        }
      }
    }
  }

  /// Decodes a range of the numbers of `blocks`, a piece of at most 1 MB at a time.
  func forEachPiece(_ elements: Range<Int>, of blocks: Bytes, _ body: (Bytes) throws -> Void) throws {
    for start in stride(from: elements.lowerBound, to: elements.upperBound, by: BlockType.pieceElementCount) {
      try Interrupt.check()
      let range = start..<min(elements.upperBound, start + BlockType.pieceElementCount)
      try body(Bytes(byteCount: range.count * 4) { decode(range, of: blocks, to: $0) })
      let (first, last) = (range.lowerBound / elementCount, range.upperBound / elementCount)
      blocks[(first * byteCount)..<(last * byteCount)].releasePages()
    }
  }

  /// Decodes one block. Unsafe: `block` has ``byteCount`` bytes, `y` room for ``elementCount`` numbers.
  private func decode(_ block: UnsafeRawPointer, to y: UnsafeMutablePointer<Float>) {
    let block = BlockBytes(base: block)
    switch self {
    case .q10: block.decodeQ10(to: y)
    case .q20: block.decodeQ20(to: y)
    case .q40: block.decodeQ40(to: y)
    case .q41: block.decodeQ41(to: y)
    case .q50: block.decodeQ50(to: y)
    case .q51: block.decodeQ51(to: y)
    case .q80: block.decodeQ80(to: y)
    case .q2k: block.decodeQ2K(to: y)
    case .q3k: block.decodeQ3K(to: y)
    case .q4k: block.decodeQ4K(to: y)
    case .q5k: block.decodeQ5K(to: y)
    case .q6k: block.decodeQ6K(to: y)
    case .q8k: block.decodeQ8K(to: y)
    case .iq1s: block.decodeIQ1S(to: y)
    case .iq1m: block.decodeIQ1M(to: y)
    case .iq2xxs: block.decodeIQ2XXS(to: y)
    case .iq2xs: block.decodeIQ2XS(to: y)
    case .iq2s: block.decodeIQ2S(to: y)
    case .iq3xxs: block.decodeIQ3XXS(to: y)
    case .iq3s: block.decodeIQ3S(to: y)
    case .iq4nl: block.decodeIQ4NL(to: y)
    case .iq4xs: block.decodeIQ4XS(to: y)
    case .tq10: block.decodeTQ10(to: y)
    case .tq20: block.decodeTQ20(to: y)
    case .mxfp4: block.decodeMXFP4(to: y)
    case .nvfp4: block.decodeNVFP4(to: y)
    }
  }
}

extension Tensor {
  /// The float32 tensor whose rows these blocks are, which have the size that the shape says.
  init(shape: [Int], blocks: Bytes, _ type: BlockType) throws {
    let count = blocks.count / type.byteCount * type.elementCount
    let bytes = try Bytes(byteCount: count * 4) { type.decode(0..<count, of: blocks, to: $0) }
    try self.init(.float32, shape: shape, bytes: bytes)
  }
}

/// The bytes of one block. Unsafe: whoever reads stays inside the block.
struct BlockBytes {
  let base: UnsafeRawPointer

  subscript(index: Int) -> UInt8 { base.load(fromByteOffset: index, as: UInt8.self) }

  func integer<I: FixedWidthInteger & BitwiseCopyable>(_ type: I.Type, at offset: Int) -> I {
    I(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: I.self))
  }

  /// The float16 at `offset`.
  func half(at offset: Int) -> Float { Float(Float16(bitPattern: integer(UInt16.self, at: offset))) }

  /// The low 4 bits of a byte, then its high ones: number `index` of 32 that share 16 bytes at `offset`.
  func nibble(_ index: Int, at offset: Int) -> UInt8 { self[offset + index & 15] >> (index < 16 ? 0 : 4) & 15 }
}
