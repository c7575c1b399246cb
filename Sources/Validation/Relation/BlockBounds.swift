import Tensors

/// Which bytes of a block of ggml's encodings hold the codes of its numbers, for encodings whose values are
/// `scale * code + offset` within each part of a block.
struct BlockBounds {
  private let type: BlockType
  /// The bytes with the low bits of all codes, and what they are when each code is 1.
  private let low: Range<Int>
  private let one: UInt8
  /// The bytes with further bits of the codes.
  private let high: Range<Int>
  /// What all bytes of codes are for the least and the greatest code.
  private let extremes: (UInt8, UInt8)

  /// Nil for encodings whose codes stand for the values of a table.
  init?(_ type: BlockType) {
    let (low, one, high): (Range<Int>, UInt8, Range<Int>)
    switch type {
    case .q40: (low, one, high) = (2..<18, 0x11, 0..<0)
    case .q41: (low, one, high) = (4..<20, 0x11, 0..<0)
    case .q50: (low, one, high) = (6..<22, 0x11, 2..<6)
    case .q51: (low, one, high) = (8..<24, 0x11, 4..<8)
    case .q80: (low, one, high) = (2..<34, 0x01, 0..<0)
    case .q2k: (low, one, high) = (16..<80, 0x55, 0..<0)
    case .q3k: (low, one, high) = (32..<96, 0x55, 0..<32)
    case .q4k: (low, one, high) = (16..<144, 0x11, 0..<0)
    case .q5k: (low, one, high) = (48..<176, 0x11, 16..<48)
    case .q6k: (low, one, high) = (0..<128, 0x11, 128..<192)
    default: return nil
    }
    (self.type, self.low, self.one, self.high) = (type, low, one, high)
    extremes = type == .q80 ? (0x80, 0x7F) : (0, 0xFF)
  }

  /// Values of whole blocks, the distance between neighbouring codes for each, and the least and greatest value that
  /// its part of the block can hold.
  func decode(_ blocks: Bytes) throws -> DecodedCodes {
    let count = blocks.count / type.byteCount * type.elementCount
    func values(_ blocks: Bytes) throws -> [Double] {
      try Tensor(
        .float32, shape: [count],
        bytes: Bytes(byteCount: count * 4) { type.decode(0..<count, of: blocks, to: $0) }
      ).doubles
    }
    func filled(_ low: UInt8, _ high: UInt8) throws -> [Double] {
      var bytes = blocks.array
      for block in 0..<(blocks.count / type.byteCount) {
        let start = block * type.byteCount
        for k in self.low { bytes[start + k] = low }
        for k in self.high { bytes[start + k] = high }
      }
      return try values(Bytes(bytes))
    }
    let (zero, one) = (try filled(0, 0), try filled(one, 0))
    let (least, greatest) = (try filled(extremes.0, extremes.0), try filled(extremes.1, extremes.1))
    var result = DecodedCodes(values: try values(blocks))
    for k in 0..<count {
      result.steps.append(abs(one[k] - zero[k]))
      result.least.append(min(least[k], greatest[k]))
      result.greatest.append(max(least[k], greatest[k]))
      // Scales and offsets are stored in 16 bits, but may have been used in 32.
      result.slack.append(max(abs(least[k]), abs(greatest[k])) * 0x1p-11)
    }
    return result
  }
}

/// What codes with scales stand for, by element.
struct DecodedCodes {
  var values: [Double]
  /// The distance of neighbouring values.
  var steps: [Double] = []
  /// The least and the greatest value that there is a code for.
  var least: [Double] = []
  var greatest: [Double] = []
  /// What the scale's own rounding may add to an error.
  var slack: [Double] = []

  init(values: [Double]) {
    self.values = values
    for path in [\DecodedCodes.steps, \.least, \.greatest, \.slack] {
      self[keyPath: path].reserveCapacity(values.count)
    }
  }

  /// The error of element `index` against what it was made from, in steps; infinite when the code is none that rounding
  /// gives.
  func error(_ index: Int, of original: Double) -> Double {
    let (value, step) = (values[index], steps[index])
    guard original.isFinite, value.isFinite else { return original == value ? 0 : .infinity }
    // What lies beyond the codes gets the outermost one.
    let nearest = min(max(original, least[index]), greatest[index])
    let off = max(0, abs(value - nearest) - slack[index])
    if off <= step * 1e-6 { return 0 }
    return step > 0 ? off / step : .infinity
  }
}
