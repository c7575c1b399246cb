import Quantization
import Runtime
import Tensors

/// Some rows of the weight of a linear layer, to expect its errors from.
struct RowSample {
  private let rows: WeightRows
  private let values: [Float]

  /// Pairs of neighbouring rows, one at random from each of as many equal parts; the same each time for a name.
  init(_ entry: TensorStore.Entry, module: String, count: Int) throws {
    let whole = try LinearWeight(module: module, entry.dtype, shape: entry.shape)
    let width = whole.columns * entry.dtype.bits / 8
    var random = SplitMix64(naming: module)
    // A weight of one row, or the last of an odd number, goes as it is.
    let pairs = (whole.rows + 1) / 2
    let parts = min(pairs, max(1, count / 2))
    var bytes: [UInt8] = []
    var taken = 0
    for part in 0..<parts {
      let (low, high) = (part * pairs / parts, (part + 1) * pairs / parts)
      let first = 2 * min(high - 1, low + Int(random.unit() * Double(high - low)))
      let last = min(whole.rows, first + 2)
      guard last - first == 2 || whole.rows == 1 else { continue }
      let window = try entry.window((first * width)..<(last * width))
      window.withUnsafeBytes { bytes += $0 }
      window.releasePages()
      taken += last - first
    }
    let weight = try LinearWeight(module: module, entry.dtype, shape: [taken, whole.columns])
    let tensor = try Tensor(entry.dtype, shape: [taken, whole.columns], bytes: Bytes(bytes))
    rows = WeightRows(weight, 0..<taken, bytes: tensor.bytes, input: InputGrid(scale: 1, offset: 0))
    values = tensor.floats
    guard values.allSatisfy(\.isFinite) else {
      throw BessemerError(.weights, "the weight of \(quoted(module)) holds NaN or infinity", file: entry.file)
    }
  }

  /// The squares of what a scheme loses of the rows, by their squares.
  func error(_ scheme: any LinearScheme, _ method: WeightMethod) throws -> Double {
    // What needs data is better than the range, not worse.
    let source = WeightRows(
      rows.weight, rows.range, bytes: rows.bytes, input: rows.input, method: method.needsData ? .minmax : method)
    return try RowSample.error(values, scheme.values(source, scheme.quantize(source)))
  }

  /// The same for inputs of a layer, as far as its scheme rounds them: for numbers of a normal distribution.
  static func inputError(_ scheme: any LinearScheme, columns: Int) throws -> Double {
    guard let inputs = scheme.inputs else { return 0 }
    let tensor = NormalNoise.tensor(shape: [16, columns], seed: 1)
    let weight = try LinearWeight(module: "inputs", .float32, shape: tensor.shape)
    let source = WeightRows(weight, 0..<16, bytes: tensor.bytes)
    return try error(tensor.floats, inputs.values(source, inputs.quantize(source)))
  }

  static func error(_ values: [Float], _ stored: [Float]) -> Double {
    var (lost, all) = (0.0, 0.0)
    for (a, b) in zip(values, stored) {
      lost += Double(a - b) * Double(a - b)
      all += Double(a) * Double(a)
    }
    return all > 0 ? lost / all : 0
  }
}

extension SplitMix64 {
  /// A start that is the same each time for a name.
  init(naming name: String) {
    self.init(state: name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
  }
}
