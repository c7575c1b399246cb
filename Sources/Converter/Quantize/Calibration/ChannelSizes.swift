import Quantization
import Tensors

/// How large the channels of a value are over all tokens.
struct ChannelSizes {
  private(set) var largest: [Float] = []
  private(set) var bounds: [(least: Float, greatest: Float)] = []
  /// Of magnitudes in 16 bits.
  private var sums: [Double] = []
  /// Of magnitudes in float32 the mean so far, made of those of the sequences as msModelSlim makes it.
  private var running: [Float] = []
  private var count = 0
  /// All tokens, if they are kept.
  private(set) var rows: [Float] = []
  private let keepsRows: Bool

  /// That of ``rows``.
  private(set) var dtype = DType.float32

  init(keepsRows: Bool) { self.keepsRows = keepsRows }

  /// Those that are known; no rows.
  init(bounds: [(least: Float, greatest: Float)], mean: [Float]) {
    self.init(keepsRows: false)
    self.bounds = bounds
    largest = bounds.map { max(abs($0.least), abs($0.greatest)) }
    sums = mean.map(Double.init)
    running = mean
    count = 1
  }

  mutating func observe(_ tensor: Tensor) throws {
    let matrix = try Matrix(tensor)
    guard matrix.rows > 0 else { return }
    dtype = tensor.dtype
    if largest.isEmpty {
      largest = [Float](repeating: 0, count: matrix.columns)
      sums = [Double](repeating: 0, count: matrix.columns)
      bounds = [(Float, Float)](repeating: (.infinity, -.infinity), count: matrix.columns)
    }
    for row in 0..<matrix.rows {
      for column in 0..<matrix.columns {
        let value = matrix.values[row * matrix.columns + column]
        let size = abs(value)
        guard size.isFinite else {
          throw BessemerError(.modelInput, "the calibration data leads to NaN or infinity inside the model")
        }
        largest[column] = max(largest[column], size)
        if dtype != .float32 { sums[column] += Double(size) }
        bounds[column] = (min(bounds[column].least, value), max(bounds[column].greatest, value))
      }
    }
    if dtype == .float32 {
      let (before, own, all) = (Float(count), Float(matrix.rows), Float(count + matrix.rows))
      let means = matrix.meanMagnitudes
      running = count == 0 ? means : zip(running, means).map { ($0 * before + $1 * own) / all }
    }
    count += matrix.rows
    if keepsRows { rows += matrix.values }
  }

  mutating func set(rows: KeptRows) { (self.rows, dtype) = (rows.matrix.values, rows.dtype) }

  var isEmpty: Bool { count == 0 }
  /// The middle of each channel's range, each operation rounded to `dtype`.
  func middles(_ dtype: DType) throws -> [Float] {
    try bounds.map { $0.least + $0.greatest }.rounded(to: dtype).map { $0 / 2 }.rounded(to: dtype)
  }

  var mean: [Float] { dtype == .float32 ? running : sums.map { Float($0 / Double(max(count, 1))) } }
  var tokens: Matrix {
    rows.isEmpty
      ? Matrix(zeros: 0, largest.count)
      : Matrix(rows: rows.count / largest.count, columns: largest.count, values: rows)
  }
}
