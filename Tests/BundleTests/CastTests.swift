import Testing

@testable import Tensors
import TestSupport

@Suite struct CastTests {
  static let short: [DType] = [.float16, .bfloat16]
  static let all = short + [.float32]

  /// All patterns of a 16-bit type.
  static func patterns(_ dtype: DType) throws -> Tensor {
    try Tensor(dtype, shape: [65536], bytes: (0...UInt16.max).map { $0 }.withUnsafeBytes { Bytes($0) })
  }

  static func expectSame(_ a: Tensor, _ b: Tensor, _ what: String) {
    #expect(a.type == b.type)
    let (x, y) = (a.doubles, b.doubles)
    let wrong = x.indices.filter {
      x[$0] != y[$0] && !(x[$0].isNaN && y[$0].isNaN) || x[$0].sign != y[$0].sign && x[$0] == 0
    }
    #expect(wrong.isEmpty, "\(what): \(wrong.count) differ, first at \(wrong.first ?? 0)")
  }

  @Test(arguments: short, all) func everyPattern(from: DType, to: DType) throws {
    let source = try CastTests.patterns(from)
    CastTests.expectSame(try source.cast(to: to), try source.castByValue(to: to), "\(from) to \(to)")
  }

  @Test(arguments: short) func roundsToEven(to: DType) throws {
    // Both neighbours of each pattern, what lies halfway, and a little beside it.
    var floats: [Float] = []
    for value in try CastTests.patterns(to).doubles where value.isFinite {
      let step = Float(value).ulp * Float(to == .float16 ? 8192 : 65536) / 2
      for offset in [0, step, -step] {
        let halfway = Float(value) + offset
        floats += [halfway, halfway.nextUp, halfway.nextDown]
      }
    }
    let source = Tensor(floats, shape: [floats.count])
    CastTests.expectSame(try source.cast(to: to), try source.castByValue(to: to), "f32 to \(to)")
  }

  @Test func valuesOfOtherTypes() throws {
    let floats = try Tensor(.float64, shape: [5], doubles: [1.5, -2.5, 300, .nan, -.infinity])
    #expect(try floats.cast(to: .int8).integers == [1, -2, 127, 0, -128])
    #expect(try floats.cast(to: .uint64).bytes == Bytes([UInt64(1), 0, 300, 0, 0].withUnsafeBytes { Array($0) }))
    let integers = Tensor([Int64(300), -1, 0], shape: [3])
    #expect(try integers.cast(to: .int8).integers == [44, -1, 0])
    #expect(try integers.cast(to: .uint8).integers == [44, 255, 0])
    #expect(try integers.cast(to: .bool).integers == [1, 1, 0])
    #expect(try Tensor([Int64(300), -1], shape: [2]).cast(to: .int4).integers == [-4, -1])
    #expect(throws: BessemerError.self) { try integers.cast(to: .complex64) }
  }

  @Test(arguments: all, [1, 2, 15, 16, 17, 33, 48])
  func panels(dtype: DType, n: Int) throws {
    for k in [1, 2, 5, 16] {
      var random = SplitMix64(seed: UInt64(n * 100 + k))
      let matrix = try random.tensor(dtype, [n, k])
      let panels = try #require(try matrix.packedPanels())
      #expect(panels.count == WeightLayout.panels.byteCount(dtype, shape: [n, k]))
      #expect(try Tensor(dtype, shape: [n, k], panels: panels) == matrix)
      // Element (row, column) stands where the layout says.
      let flat = try Tensor(dtype, shape: [panels.count * 8 / dtype.bits], bytes: panels).doubles
      let values = matrix.doubles
      for row in 0..<n {
        for column in 0..<k {
          let at =
            dtype == .bfloat16
            ? ((row / 16 * ((k + 1) / 2) + column / 2) * 16 + row % 16) * 2 + column % 2
            : (row / 16 * k + column) * 16 + row % 16
          #expect(flat[at] == values[row * k + column])
        }
      }
      // The part from row 16 on gives the same panels.
      guard n > 16 else { continue }
      let size = k * dtype.bits / 8
      let tail = try Tensor(dtype, shape: [n - 16, k], bytes: matrix.bytes[(16 * size)..<(n * size)])
      let part = try #require(try tail.packedPanels())
      #expect(part == panels[(panels.count - part.count)..<panels.count])
    }
  }

  @Test func refusesPanels() throws {
    #expect(WeightLayout.panelShape(.int8, shape: [16, 16]) == nil)
    #expect(WeightLayout.panelShape(.float32, shape: [16]) == nil)
    #expect(WeightLayout.panelShape(.float32, shape: [0, 16]) == nil)
    #expect(throws: BessemerError.self) { try Tensor(.float32, shape: [16, 2], panels: Bytes([0, 0])) }
  }
}
