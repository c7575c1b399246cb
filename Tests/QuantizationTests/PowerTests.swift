import TestSupport
import Testing

@testable import Quantization

@Suite struct PowerTests {
  /// Two blocks and a rest, bit for bit as PyTorch; the numbers of `fixtures/quantization/make_pytorch.py`.
  @Test func powersOfFloat32() throws {
    let values = (0..<70).map { abs(Float(($0 * 7919 + 10 * 104729) % 2003 - 1001) / 317) }
    let reference = try Fixtures.json("quantization/pytorch.json")
    let expected = try #require(reference["power"]).asArray().map {
      Float(bitPattern: UInt32(bitPattern: Int32(try #require($0.int))))
    }
    #expect(RoundedPower.of(values, 0.3, .float32) == expected)
  }
}
