import TestSupport
import Tensors
import Testing

@testable import Quantization

/// Rotations that are searched for, of blocks that mix, and of any matrix.
@Suite struct RotationTests {
  private let threads = KernelThreads(2)

  private func floats(_ json: JSON?) throws -> [Float] {
    try #require(json).asArray().map { Float(try $0.asDouble()) }
  }

  /// To the last bits that sums of other orders leave after all steps.
  @Test(arguments: [("int4", 4, 20), ("int8", 8, 3)]) func findsMsModelSlims(
    _ name: String, _ bits: Int, _ steps: Int
  ) throws {
    let reference = try Fixtures.json("quantization/search.json")
    let layers = try #require(reference["layers"]).asArray().map { layer in
      Matrix(rows: try #require(layer["rows"]?.int), columns: 12, values: try floats(layer["values"]))
    }
    let start = Matrix(rows: 12, columns: 12, values: try floats(reference["start"]))
    let plain = try #require(HadamardRotation(size: 12)).matrix(12)
    #expect(zip(plain.values, start.values).allSatisfy { abs($0 - $1) < 1e-6 })
    let found = try RotationSearch(steps: steps, bits: bits).solve(layers, from: start, threads)
    let expected = try floats(reference[name])
    #expect(zip(found.values, expected).allSatisfy { abs($0 - $1) < 2e-4 })
    // It is another rotation than the one that it began with, and one at all.
    #expect(zip(found.values, start.values).contains { abs($0 - $1) > 0.003 })
    let product = try found.times(transposed: found, threads)
    #expect(zip(product.values, Matrix(identity: 12).values).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func blocksMix() throws {
    let size = 64
    let rotation = try #require(ShiftedRotation(size: size, block: 32))
    let block = try #require(HadamardRotation(size: 32)).matrix(size)
    var moved = Matrix(zeros: size, size)
    for index in 0..<size { moved.values[index * size + (index + 16) % size] = 1 }
    let expected = try block.all.times(moved.all, threads).all.times(block.all, threads)
    let matrix = try rotation.matrix(size)
    #expect(zip(matrix.values, expected.values).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(ShiftedRotation(size: 48, block: 32) == nil)
  }

  /// Rows and columns of a weight, in blocks, as one rotation after another has it.
  @Test func anyMatrixTurnsAsTheQuickOnesDo() throws {
    let quick = try #require(HadamardRotation(size: 16))
    let dense = DenseRotation(try quick.matrix(16), threads)
    var generator = SplitMix64(seed: 8)
    let weight = Matrix(
      rows: 32, columns: 48, values: (0..<32 * 48).map { _ in Float.random(in: -1...1, using: &generator) })
    var (a, b) = (weight, weight)
    try quick.rotateColumns(&a)
    try dense.rotateColumns(&b)
    #expect(zip(a.values, b.values).allSatisfy { abs($0 - $1) < 1e-5 })
    (a, b) = (weight.part(0..<16, 0..<48).copy, weight.part(0..<16, 0..<48).copy)
    try quick.rotateRows(&a)
    try dense.rotateRows(&b)
    #expect(zip(a.values, b.values).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test(arguments: [0, 1, 7, 500, 999, 1000]) func ranksMagnitudes(_ count: Int) {
    var generator = SplitMix64(seed: 9)
    // Many of them are equal.
    let values = (0..<1000).map { _ in Float(Int.random(in: -40...40, using: &generator)) / 8 }
    let sorted = values.map { abs($0) }.sorted(by: >)
    let chosen = MagnitudeRank(values).largest(count)
    #expect(chosen.count { $0 } == count)
    let least = zip(values, chosen).filter(\.1).map { abs($0.0) }.min() ?? .infinity
    let greatest = zip(values, chosen).filter { !$0.1 }.map { abs($0.0) }.max() ?? 0
    #expect(least >= greatest)
    if count > 0 { #expect(MagnitudeRank(values).magnitude(ofLargest: count) == sorted[count - 1]) }
  }
}

extension Matrix.Part {
  fileprivate var copy: Matrix {
    Matrix(
      rows: rows, columns: columns,
      values: (0..<rows).flatMap { row in
        (0..<columns).map { values[start + row * rowStride + $0 * columnStride] }
      })
  }
}
