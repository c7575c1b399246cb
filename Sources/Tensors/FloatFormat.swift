/// A binary floating-point format of at most 16 bits, by its fields: a plain definition of decoding and rounding.
///
/// Sources: IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats 1.0.
struct FloatFormat {
  /// What the largest exponent, or the bit patterns at the top, stand for.
  enum Specials {
    /// Infinities and NaNs in the top exponent, as IEEE 754 has them.
    case ieee
    /// No infinity; only all ones in exponent and fraction is NaN.
    case fn
    /// No infinity, no negative zero; only the pattern of negative zero is NaN.
    case fnuz
    /// Every pattern is a finite number.
    case none
  }

  let exponentBits: Int
  let fractionBits: Int
  let bias: Int
  let specials: Specials

  init(_ exponentBits: Int, _ fractionBits: Int, bias: Int, _ specials: Specials) {
    self.exponentBits = exponentBits
    self.fractionBits = fractionBits
    self.bias = bias
    self.specials = specials
  }

  /// The format of a type, or nil when its elements are not sign, exponent and fraction in at most 16 bits.
  init?(_ dtype: DType) {
    switch dtype {
    case .float16: self.init(5, 10, bias: 15, .ieee)
    case .bfloat16: self.init(8, 7, bias: 127, .ieee)
    case .float8e5m2: self.init(5, 2, bias: 15, .ieee)
    case .float8e4m3fn: self.init(4, 3, bias: 7, .fn)
    case .float8e4m3fnuz: self.init(4, 3, bias: 8, .fnuz)
    case .float8e5m2fnuz: self.init(5, 2, bias: 16, .fnuz)
    case .float6e2m3: self.init(2, 3, bias: 1, .none)
    case .float6e3m2: self.init(3, 2, bias: 3, .none)
    case .float4e2m1: self.init(2, 1, bias: 1, .none)
    default: return nil
    }
  }

  private var signBit: UInt16 { 1 << UInt16(exponentBits + fractionBits) }
  private var topExponent: Int { (1 << exponentBits) - 1 }

  /// The value of a bit pattern.
  func decode(_ bits: UInt16) -> Double {
    let negative = bits & signBit != 0
    let exponent = Int(bits >> UInt16(fractionBits)) & topExponent
    let fraction = Int(bits) & ((1 << fractionBits) - 1)
    let allOnes = exponent == topExponent && fraction == (1 << fractionBits) - 1
    switch specials {
    case .ieee where exponent == topExponent:
      return fraction != 0 ? .nan : negative ? -.infinity : .infinity
    case .fn where allOnes, .fnuz where negative && exponent == 0 && fraction == 0: return .nan
    default: break
    }
    let significand = Double(exponent == 0 ? fraction : fraction + (1 << fractionBits))
    let magnitude = significand * power(max(exponent, 1) - bias - fractionBits)
    return negative ? -magnitude : magnitude
  }

  /// The nearest bit pattern, ties to even. Beyond the largest number: infinity, else NaN, else (``Specials/none``) the
  /// largest.
  func encode(_ value: Double) -> UInt16 {
    let sign: UInt16 = value.sign == .minus ? signBit : 0
    if value.isNaN { return notANumber | (specials == .ieee ? sign : 0) }
    let magnitude = value.magnitude
    guard magnitude > 0 else { return specials == .fnuz ? 0 : sign }
    guard magnitude.isFinite else { return overflow(sign) }
    // The unit in the last place at this magnitude; a whole multiple of it below 2^52 rounds exactly.
    let exponent = max(Int(magnitude.exponent), 1 - bias)
    let scaled = magnitude / power(exponent - fractionBits)
    var steps = Int(scaled.rounded(.toNearestOrEven))
    if steps == 0 { return specials == .fnuz ? 0 : sign }
    // A carry into the next binade just adds one to the exponent field, as the layout is monotonic.
    steps += (exponent - 1 + bias) << fractionBits
    return steps > largest ? overflow(sign) : UInt16(steps) | sign
  }

  /// The pattern of the largest finite number.
  private var largest: Int {
    let all = (1 << (exponentBits + fractionBits)) - 1
    switch specials {
    case .ieee: return (topExponent << fractionBits) - 1
    case .fn: return all - 1
    case .fnuz, .none: return all
    }
  }

  private var notANumber: UInt16 {
    switch specials {
    case .ieee: UInt16(topExponent << fractionBits | 1 << (fractionBits - 1))
    case .fn: signBit - 1
    case .fnuz: signBit
    case .none: UInt16(largest)
    }
  }

  private func overflow(_ sign: UInt16) -> UInt16 {
    switch specials {
    case .ieee: sign | UInt16(topExponent << fractionBits)
    case .fn: sign | notANumber
    case .fnuz: notANumber
    case .none: sign | UInt16(largest)
    }
  }

  private func power(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent, significand: 1) }
}

/// Huawei HiFloat8, read by decoding its tapered fields: sign, prefix code of the exponent's width ("dot"), exponent,
/// fraction.
///
/// Source: the HiFloat8 format description (arXiv 2409.16626).
enum HiFloat8 {
  /// The values of all 256 patterns.
  static let values: [Double] = (0..<256).map { decode(UInt8($0)) }

  static func decode(_ bits: UInt8) -> Double {
    switch bits {
    case 0x00: return 0
    case 0x80: return .nan
    case 0x6F: return .infinity
    case 0xEF: return -.infinity
    default: break
    }
    let sign: Double = bits & 0x80 != 0 ? -1 : 1
    let low = Int(bits & 0x7F)
    // Prefix code -> (bits of the prefix, bits of the exponent).
    let (prefix, width): (Int, Int)
    switch low {
    case 0b110_0000...: (prefix, width) = (2, 4)
    case 0b100_0000...: (prefix, width) = (2, 3)
    case 0b010_0000...: (prefix, width) = (2, 2)
    case 0b001_0000...: (prefix, width) = (3, 1)
    case 0b000_1000...: (prefix, width) = (4, 0)
    default: return sign * Double(sign: .plus, exponent: low - 23, significand: 1)
    }
    let fractionBits = 7 - prefix - width
    let fraction = low & ((1 << fractionBits) - 1)
    let field = (low >> fractionBits) & ((1 << width) - 1)
    var exponent = 0
    if width > 0 {
      let magnitude = (field & ((1 << (width - 1)) - 1)) | 1 << (width - 1)
      exponent = field >> (width - 1) != 0 ? -magnitude : magnitude
    }
    let significand = 1 + Double(fraction) / Double(1 << fractionBits)
    return sign * Double(sign: .plus, exponent: exponent, significand: significand)
  }

  /// The nearest pattern, ties to the even fraction; beyond the range, infinity.
  static func encode(_ value: Double) -> UInt8 {
    if value.isNaN { return 0x80 }
    let sign: UInt8 = value.sign == .minus ? 0x80 : 0
    var best: (distance: Double, bits: UInt8) = (.infinity, 0)
    let magnitude = value.magnitude
    if magnitude >= 1.25 * 32768 { return 0x6F | sign }
    for bits in UInt8(0)..<0x6F {
      let distance = abs(values[Int(bits)] - magnitude)
      if distance < best.distance || distance == best.distance && bits & 1 == 0 { best = (distance, bits) }
    }
    return best.bits == 0 ? 0 : best.bits | sign
  }
}
