import TestSupport
import Tensors
import Testing

/// `Tensor+Values` against other definitions: Swift's own Float16, shifts for bfloat16, ml_dtypes for smaller types.
@Suite struct FloatTests {
  @Test func everyHalf() throws {
    let patterns = (0...UInt16.max).map { $0 }
    let tensor = try Tensor(.float16, shape: [65536], bytes: patterns.withUnsafeBytes { Bytes($0) })
    let values = tensor.doubles
    var mismatches: [UInt16] = []
    for (pattern, value) in zip(patterns, values) {
      let expected = Double(Float16(bitPattern: pattern))
      if expected.isNaN ? !value.isNaN : value.bitPattern != expected.bitPattern { mismatches.append(pattern) }
    }
    #expect(mismatches.isEmpty)
    try expectRoundTrip(.float16, patterns, values)
  }

  @Test func everyBFloat() throws {
    let patterns = (0...UInt16.max).map { $0 }
    let tensor = try Tensor(.bfloat16, shape: [65536], bytes: patterns.withUnsafeBytes { Bytes($0) })
    let values = tensor.doubles
    var mismatches: [UInt16] = []
    for (pattern, value) in zip(patterns, values) {
      let expected = Double(Float(bitPattern: UInt32(pattern) << 16))
      if expected.isNaN ? !value.isNaN : value.bitPattern != expected.bitPattern { mismatches.append(pattern) }
    }
    #expect(mismatches.isEmpty)
    try expectRoundTrip(.bfloat16, patterns, values)
  }

  /// Encoding gives back the pattern; a NaN gives some NaN.
  private func expectRoundTrip(_ dtype: DType, _ patterns: [UInt16], _ values: [Double]) throws {
    let again = try Tensor(dtype, shape: [values.count], doubles: values)
    let encoded = again.bytes.withUnsafeBytes { raw in
      patterns.indices.map { raw.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self) }
    }
    let wrong = patterns.indices.filter { !values[$0].isNaN && encoded[$0] != patterns[$0] }
    #expect(wrong.isEmpty)
    #expect(zip(again.doubles, values).allSatisfy { $0.isNaN == $1.isNaN })
  }

  @Test func halvesRound() throws {
    var random = SplitMix64(seed: 1)
    let values = (0..<200_000).map { _ in
      Double(Float(bitPattern: UInt32(truncatingIfNeeded: random.next()) & 0xBFFF_FFFF | 0x3000_0000))
    }
    let tensor = try Tensor(.float16, shape: [values.count], doubles: values)
    let wrong = zip(tensor.doubles, values).filter { $0 != Double(Float16($1)) && !$1.isNaN }
    #expect(wrong.isEmpty)
  }

  @Test func bfloatsRound() throws {
    var random = SplitMix64(seed: 2)
    let words = (0..<200_000).map { _ in UInt32(truncatingIfNeeded: random.next()) & 0xBFFF_FFFF }
    let tensor = try Tensor(.bfloat16, shape: [words.count], doubles: words.map { Double(Float(bitPattern: $0)) })
    let wrong = zip(tensor.doubles, words).filter { value, word in
      // Round to nearest, ties to even, on the bits.
      let rounded = (word + 0x7FFF + (word >> 16 & 1)) & 0xFFFF_0000
      return value != Double(Float(bitPattern: rounded))
    }
    #expect(wrong.isEmpty)
  }

  static let small: [DType] = [
    .float8e4m3fn, .float8e5m2, .float8e4m3fnuz, .float8e5m2fnuz, .float8e8m0, .float6e2m3, .float6e3m2, .float4e2m1,
  ]

  @Test(arguments: small)
  func tables(dtype: DType) throws {
    let path = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
    let root = try JSON.parse(InputFile.contents(of: "/\(path)/fixtures/tensors/float-tables.json"))
    let table = try root.required(dtype.rawValue)
    let expected = try table.required("values").asArray().map { try FloatTests.float($0) }
    let count = expected.count
    var packed = [UInt8](repeating: 0, count: count * dtype.bits / 8)
    for pattern in 0..<count {
      for bit in 0..<dtype.bits where pattern >> bit & 1 != 0 {
        let position = pattern * dtype.bits + bit
        packed[position / 8] |= 1 << (position % 8)
      }
    }
    let values = try Tensor(dtype, shape: [count], bytes: Bytes(packed)).doubles
    for (pattern, (value, wanted)) in zip(values, expected).enumerated() {
      let isSame = wanted.isNaN ? value.isNaN : value.bitPattern == Double(wanted).bitPattern
      #expect(isSame, "\(dtype) 0x\(String(pattern, radix: 16)): \(value), ml_dtypes has \(wanted)")
    }
    let pairs = try table.required("rounded").asArray().map { pair in
      (try FloatTests.float(pair[0]), try #require(pair[1]?.int))
    }
    for (input, pattern) in pairs {
      let tensor = try Tensor(dtype, shape: [4], doubles: [Double](repeating: Double(input), count: 4))
      let value = tensor.doubles[0]
      let wanted = values[pattern]
      #expect(
        wanted.isNaN ? value.isNaN : value.bitPattern == wanted.bitPattern,
        "\(dtype) rounds \(input) to \(value), ml_dtypes to \(wanted)")
    }
  }

  private static func float(_ json: JSON?) throws -> Float {
    let text = try #require(json?.string)
    if text == "nan" { return .nan }
    return Float(bitPattern: try #require(UInt32(text, radix: 16)))
  }
}
