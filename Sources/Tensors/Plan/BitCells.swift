/// Elements of fewer than 8 bits as bytes of their own, so that they can be moved; the first one is in the lowest bits.
enum BitCells {
  /// Unpacks `count` elements after the first `skipping` ones.
  ///
  /// Unsafe: `packed` holds all of them, `cells` has room for `count` bytes.
  static func unpack(
    _ packed: UnsafeRawPointer, bits: Int, skipping: Int, count: Int, into cells: UnsafeMutableRawPointer
  ) {
    let source = packed.assumingMemoryBound(to: UInt8.self)
    let target = cells.assumingMemoryBound(to: UInt8.self)
    let mask = UInt8((1 << bits) - 1)
    for index in 0..<count {
      let position = (skipping + index) * bits
      var window = UInt16(source[position / 8])
      if position % 8 + bits > 8 { window |= UInt16(source[position / 8 + 1]) << 8 }
      target[index] = UInt8(truncatingIfNeeded: window >> UInt16(position % 8)) & mask
    }
  }

  /// Packs `count` elements; what they leave of the last byte is zero.
  ///
  /// Unsafe: `cells` holds `count` bytes, `packed` has room for what they become.
  static func pack(_ cells: UnsafeRawPointer, bits: Int, count: Int, into packed: UnsafeMutableRawPointer) {
    let source = cells.assumingMemoryBound(to: UInt8.self)
    let target = packed.assumingMemoryBound(to: UInt8.self)
    var (window, filled, place) = (UInt16(0), 0, 0)
    for index in 0..<count {
      window |= UInt16(source[index]) << UInt16(filled)
      filled += bits
      guard filled >= 8 else { continue }
      target[place] = UInt8(truncatingIfNeeded: window)
      place += 1
      window >>= 8
      filled -= 8
    }
    if filled > 0 { target[place] = UInt8(truncatingIfNeeded: window) }
  }
}

extension Tensor {
  /// A vector of the values in these cells.
  init(cells: UnsafeRawBufferPointer, _ dtype: DType) throws {
    let count = cells.count / dtype.cellByteCount
    guard dtype.bits < 8 else {
      try self.init(dtype, shape: [count], bytes: Bytes(cells))
      return
    }
    let bytes = try Bytes(byteCount: (count * dtype.bits + 7) / 8) { target in
      guard let source = cells.baseAddress, let output = target.baseAddress else { return }
      BitCells.pack(source, bits: dtype.bits, count: count, into: output)
    }
    self.init(unchecked: dtype, shape: [count], bytes: bytes)
  }

  /// Writes the elements to cells, which have room for all.
  func copyCells(to cells: UnsafeMutableRawBufferPointer) {
    bytes.withUnsafeBytes { raw in
      guard let source = raw.baseAddress, let target = cells.baseAddress else { return }
      if dtype.bits < 8 {
        BitCells.unpack(source, bits: dtype.bits, skipping: 0, count: elementCount, into: target)
      } else {
        target.copyMemory(from: source, byteCount: raw.count)
      }
    }
  }
}
