import Glibc
import TestSupport
import Tensors
import Testing

@testable import Quantization

@Suite struct AlgorithmTests {
  private func random(_ rows: Int, _ columns: Int, _ seed: UInt64) -> Matrix {
    var generator = SplitMix64(seed: seed)
    return Matrix(
      rows: rows, columns: columns,
      values: (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) })
  }

  /// Sizes on both sides of a block's.
  @Test(arguments: [1, 2, 95, 96, 97, 250]) func factorsOfTheInverse(_ size: Int) throws {
    let threads = KernelThreads(2)
    var moments = SecondMoments(inputs: size)
    try moments.observe(random(3 * size + 5, size, 1), threads)
    try moments.observe(random(7, size, 2), threads)
    let factor = try moments.inverseFactor(damping: 0.01, module: "m", threads).matrix
    // Uᵀ U H = 1: column by column against the damped matrix, which is made again in double precision.
    let rows = [random(3 * size + 5, size, 1), random(7, size, 2)]
    let count = Double(rows.reduce(0) { $0 + $1.rows })
    var damped = [Double](repeating: 0, count: size * size)
    for matrix in rows {
      for row in 0..<matrix.rows {
        for i in 0..<size {
          for j in 0..<size {
            damped[i * size + j] +=
              2 / count * Double(matrix.values[row * size + i]) * Double(matrix.values[row * size + j])
          }
        }
      }
    }
    let mean = (0..<size).reduce(0.0) { $0 + damped[$1 * size + $1] } / Double(size)
    for i in 0..<size { damped[i * size + i] += 0.01 * mean }
    var worst = 0.0
    for i in 0..<size {
      for j in 0..<i { #expect(factor.values[i * size + j] == 0) }
      // Row i of U times H is row i of the inverse of Uᵀ, a lower triangle.
      for j in i + 1..<max(size, i + 1) {
        let sum = (i..<size).reduce(0.0) { $0 + Double(factor.values[i * size + $1]) * damped[$1 * size + j] }
        worst = max(worst, abs(sum))
      }
      let own = (i..<size).reduce(0.0) { $0 + Double(factor.values[i * size + $1]) * damped[$1 * size + i] }
      worst = max(worst, abs(own * Double(factor.values[i * size + i]) - 1))
    }
    #expect(worst < 1e-3)
  }

  @Test func codesMakeUpForEachOther() throws {
    let threads = KernelThreads(1)
    let (weight, inputs) = (random(24, 160, 5), random(400, 160, 6))
    // Inputs that are alike, so that there is something to make up for.
    var alike = inputs
    for row in 0..<alike.rows {
      for column in 1..<alike.columns {
        alike.values[row * 160 + column] =
          0.7 * alike.values[row * 160 + column - 1] + 0.5 * inputs.values[row * 160 + column]
      }
    }
    var moments = SecondMoments(inputs: 160)
    try moments.observe(alike, threads)
    let linear = try LinearWeight(module: "m", .float32, shape: [24, 160])
    func error(_ stored: StoredCodes?) throws -> Double {
      let rows = WeightRows(
        linear, 0..<24, bytes: try weight.tensor(.float32, shape: [24, 160]).bytes, stored: stored)
      let codes = try WeightCodes.whole(rows, bits: 4)
      var rounded = weight
      for index in rounded.values.indices {
        rounded.values[index] = Float(Int8(bitPattern: codes.codes[index])) * codes.scales[index / 160]
      }
      return try alike.times(transposed: rounded, threads).relativeError(to: alike.times(transposed: weight, threads))
    }
    let tensor = try weight.tensor(.float32, shape: [24, 160])
    let solver = try CodeSolver(.gptq(GPTQ()), moments, module: "m", threads)
    #expect(try error(solver.codes(tensor, module: "m", W4A16())) < error(nil))
  }

  /// Inputs whose channels are alike and of different sizes, and what is known of them.
  private func observed(_ rows: Int, _ columns: Int, _ threads: KernelThreads) throws -> (Matrix, SecondMoments) {
    var inputs = random(rows, columns, 6)
    for row in 0..<rows {
      for column in 1..<columns {
        inputs.values[row * columns + column] += 0.7 * inputs.values[row * columns + column - 1]
      }
    }
    inputs = inputs.scalingColumns((0..<columns).map { $0 % 40 == 3 ? 20 : 1 })
    var moments = SecondMoments(inputs: columns)
    try moments.observe(inputs, threads)
    return (inputs, moments)
  }

  /// Against the outputs themselves.
  @Test func lossIsThatOfOutputs() throws {
    let threads = KernelThreads(2)
    let (inputs, moments) = try observed(50, 40, threads)
    let change = random(7, 40, 8)
    let loss = try OutputLoss(moments, threads)
    let outputs = try inputs.times(transposed: change, threads)
    func check(_ found: [Double], _ place: Int, _ outputs: Matrix, _ column: Int) {
      let sum = (0..<50).reduce(0.0) { $0 + pow(Double(outputs.values[$1 * outputs.columns + column]), 2) }
      #expect(abs(found[place] - 2 * sum / 50) < 1e-4 * (1 + 2 * sum / 50))
    }
    let rows = try loss.rows(change)
    for row in 0..<7 { check(rows, row, outputs, row) }
    // What other changes of some columns add.
    for range in [0..<40, 20..<40, 8..<16] {
      let others = [random(7, 40, 9), random(7, 40, 10)]
      let gains = try loss.gains(others, over: change, range)
      for (other, gain) in zip(others, gains) {
        var taken = change
        for row in 0..<7 {
          for place in row * 40 + range.lowerBound..<row * 40 + range.upperBound {
            taken.values[place] = other.values[place]
          }
        }
        let after = try loss.rows(taken)
        for row in 0..<7 { #expect(abs(after[row] - rows[row] - gain[row]) < 1e-4 * (1 + after[row])) }
      }
    }
  }

  /// More inputs than a strip has columns.
  @Test func costsAreThoseOfGradients() throws {
    let threads = KernelThreads(2)
    let (_, moments) = try observed(30, 1100, threads)
    let change = random(5, 1100, 4)
    let loss = try OutputLoss(moments, threads)
    let gradient = try loss.gradient(change).rowDots(change)
    for (cost, other) in zip(try loss.rows(change), gradient) { #expect(abs(cost - other) < 1e-4 * other) }
  }

  @Test(arguments: ["w4a16", "w4a16-g32", "w4a16-g32-asym", "w8a16"]) func searchedRoundingIsBetter(
    _ scheme: String
  ) throws {
    let scheme = try #require(LinearSchemes.scheme(scheme))
    let weight = random(24, 160, 5)
    let tensor = try weight.tensor(.bfloat16, shape: [24, 160])
    let exact = try Matrix(tensor)
    func found(_ threads: Int, _ steps: Int) throws -> (codes: StoredCodes, costs: [Double]) {
      let threads = KernelThreads(threads)
      let (_, moments) = try observed(400, 160, threads)
      let solver = try CodeSolver(.autoround(RoundingSearch(steps: steps)), moments, module: "m", threads)
      let codes = try solver.codes(tensor, module: "m", scheme)
      let rounded = try RoundTrip.weight(exact, .bfloat16, scheme, .minmax, stored: codes)
      return (codes, try OutputLoss(moments, threads).rows(rounded - exact))
    }
    let threads = KernelThreads(1)
    let (_, moments) = try observed(400, 160, threads)
    let nearest = try RoundTrip.weight(exact, .bfloat16, scheme, .minmax)
    let before = try OutputLoss(moments, threads).rows(nearest - exact)
    let (one, two) = (try found(1, 60), try found(2, 60))
    #expect(one.codes.codes == two.codes.codes && one.codes.scales == two.codes.scales)
    #expect(one.codes.offsets == two.codes.offsets)
    #expect(zip(one.costs, before).allSatisfy { $0 <= $1 * 1.001 })
    #expect(one.costs.reduce(0, +) < 0.8 * before.reduce(0, +))
  }

  /// Channels that are large get scales, and neither scales nor ranges make any row worse.
  @Test(arguments: ["w4a16", "w4a16-g32", "w4a16-g40-asym"]) func scalesAndRangesAreBetter(_ scheme: String) throws {
    let rounding = WeightRounding(try #require(LinearSchemes.scheme(scheme)), .minmax)
    let (inputs, moments) = try observed(400, 160, KernelThreads(2))
    let weight = random(200, 160, 5)
    let mean = (0..<160).map { column in
      (0..<400).reduce(Float(0)) { $0 + abs(inputs.values[$1 * 160 + column]) } / 400
    }
    func found(_ threads: Int) throws -> (scales: SmoothingScales, plain: Matrix, scaled: Matrix) {
      let loss = try OutputLoss(moments, KernelThreads(threads))
      let search = AWQSearch(AWQ(cuts: true), rounding, loss, dtype: .float32, gains: nil)
      let scales = try search.scales(mean: mean, weights: [weight]) { SmoothingScales(read: $0, source: $0) }
      return (
        scales, try search.fitted(weight, [Float](repeating: 1, count: 160)), try search.fitted(weight, scales.read)
      )
    }
    let (one, two) = (try found(1), try found(2))
    #expect(one.scales == two.scales && one.plain == two.plain && one.scaled == two.scaled)
    #expect(one.scales.read[3] > 1.2 * one.scales.read[4])
    let loss = try OutputLoss(moments, KernelThreads(1))
    func costs(_ fitted: Matrix, _ scales: [Float]) throws -> [Double] {
      try loss.rows(rounding(fitted, .float32).dividingColumns(by: scales) - weight)
    }
    let ones = [Float](repeating: 1, count: 160)
    let nearest = try costs(weight, ones)
    let plain = try costs(one.plain, ones)
    #expect(zip(plain, nearest).allSatisfy { $0 <= $1 * 1.001 })
    #expect(plain.reduce(0, +) < 0.9 * nearest.reduce(0, +))
    let onlyScaled = try costs(weight.scalingColumns(one.scales.read), one.scales.read)
    #expect(onlyScaled.reduce(0, +) < 0.95 * nearest.reduce(0, +))
    #expect(try costs(one.scaled, one.scales.read).reduce(0, +) < 0.95 * onlyScaled.reduce(0, +))
  }

  @Test(arguments: [1, 2, 16, 64]) func rotationsAreOrthogonal(_ size: Int) throws {
    let rotation = try #require(HadamardRotation(size: size))
    let matrix = try rotation.matrix(size)
    let product = try matrix.times(transposed: matrix, KernelThreads(1))
    for i in 0..<size {
      for j in 0..<size { #expect(abs(product.values[i * size + j] - (i == j ? 1 : 0)) < 1e-6) }
    }
    var rows = random(2 * size, 3, 9)
    let before = rows
    try rotation.rotateRows(&rows)
    for column in 0..<3 {
      for block in 0..<2 {
        for i in 0..<size {
          let sum = (0..<size).reduce(Float(0)) {
            $0 + matrix.values[$1 * size + i] * before.values[(block * size + $1) * 3 + column]
          }
          #expect(abs(rows.values[(block * size + i) * 3 + column] - sum) < 1e-5)
        }
      }
    }
  }

  @Test func rotationsOfOtherSizesAreRefused() {
    for size in [0, 3, 6, 100, 92, 4 * 8191] { #expect(HadamardRotation(size: size) == nil) }
  }

  /// The first numbers of NumPy's RandomState(1234).
  @Test func twister() {
    var twister = MersenneTwister(seed: 1234)
    #expect((0..<3).map { _ in twister.next() } == [822_569_775, 2_137_449_171, 2_671_936_806])
  }

  @Test func percentileLeavesOutliersOut() throws {
    var values = (0..<10_000).map { Float($0) / 10_000 }
    values[17] = 1000
    var observer = InputRange.percentile(0.002).observer(isSymmetric: false)
    try observer.observe(Tensor(values, shape: [100, 100]))
    let grid = try #require(observer.grid)
    #expect(grid.scale * 255 > 0.99 && grid.scale * 255 < 1.02)
    #expect(grid.offset == -128)
  }

  @Test func infinityIsRefused() throws {
    for range in [InputRange.minmax, .meanMinmax, .histogram, .percentile(0.01)] {
      var observer = range.observer(isSymmetric: true)
      #expect(throws: BessemerError.self) { try observer.observe(Tensor([1, .infinity], shape: [2])) }
      #expect(throws: BessemerError.self) { try observer.observe(Tensor([1, .nan], shape: [2])) }
      #expect(observer.grid == nil)
    }
  }
}
