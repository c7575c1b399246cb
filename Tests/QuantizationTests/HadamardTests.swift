import Quantization
import TestSupport
import Tensors
import Testing

/// Rotations of sizes that are no powers of two.
@Suite struct HadamardTests {
  static let reference = (try? Fixtures.json("quantization/rotations.json"))?.members.map { String($0.key) } ?? []

  @Test func hasSizes() { #expect(Self.reference.count == 35) }

  /// The same signs as msModelSlim's, and the same size of elements but for the last bit, where PyTorch's root is off.
  @Test(arguments: reference) func isMsModelSlims(_ name: String) throws {
    let size = try #require(Int(name))
    let expected = try #require(Fixtures.json("quantization/rotations.json")[name]).asArray().map { $0 }
    let matrix = try #require(HadamardRotation(size: size)).matrix(size)
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for value in matrix.values { hash = (hash ^ (value > 0 ? 1 : 0)) &* 0x100_0000_01B3 }
    let digits = String(hash, radix: 16)
    #expect(String(repeating: "0", count: 16 - digits.count) + digits == (try expected[0].asString()))
    let element = Float(try expected[1].asDouble())
    #expect(matrix.values.allSatisfy { abs(abs($0) - element) <= element.ulp })
  }

  /// Sizes that Paley's construction reaches, and multiples of all by powers of two.
  @Test(arguments: [12, 20, 24, 28, 36, 44, 68, 84, 88, 104, 132, 164, 172, 344, 524])
  func isOrthogonal(_ size: Int) throws {
    let matrix = try #require(HadamardRotation(size: size)).matrix(size)
    let product = try matrix.times(transposed: matrix, KernelThreads(1))
    for row in 0..<size {
      for column in 0..<size {
        #expect(abs(product.values[row * size + column] - (row == column ? 1 : 0)) < 1e-5)
      }
    }
  }
}
