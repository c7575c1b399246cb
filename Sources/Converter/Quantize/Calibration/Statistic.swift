import Glibc
import Quantization
import Tensors

/// What is found out about a value that layers read, as one tensor of a file of statistics.
protocol Statistic {
  /// What stands in the tensor's name.
  static var kind: String { get }
  var tensor: Tensor { get throws }
  /// Nil for a tensor of another type or shape.
  ///
  /// - Parameter columns: the channels of the value.
  init?(_ tensor: Tensor, columns: Int) throws
}

extension Tensor {
  /// The elements of a float32 tensor of this shape; nil for another, and where any is NaN or infinite.
  fileprivate func finite(_ shape: [Int]) -> [Float]? {
    guard dtype == .float32, self.shape == shape else { return nil }
    let values = floats
    return values.allSatisfy(\.isFinite) ? values : nil
  }
}

/// The least, the greatest and the mean magnitude of each channel: [3, channels].
extension ChannelSizes: Statistic {
  static var kind: String { "sizes" }

  var tensor: Tensor {
    Tensor(bounds.map(\.least) + bounds.map(\.greatest) + mean, shape: [3, bounds.count])
  }

  init?(_ tensor: Tensor, columns: Int) {
    guard let values = tensor.finite([3, columns]) else { return nil }
    self.init(
      bounds: (0..<columns).map { (values[$0], values[columns + $0]) }, mean: Array(values[(2 * columns)...]))
  }
}

/// A value itself at all tokens, [tokens, channels], in its own type.
struct KeptRows: Statistic {
  static var kind: String { "rows" }
  let matrix: Matrix
  let dtype: DType

  init(_ matrix: Matrix, _ dtype: DType) { (self.matrix, self.dtype) = (matrix, dtype) }

  var tensor: Tensor { get throws { try matrix.tensor(dtype, shape: [matrix.rows, matrix.columns]) } }

  init?(_ tensor: Tensor, columns: Int) throws {
    guard LinearWeight.dtypes.contains(tensor.dtype), tensor.shape.count == 2, tensor.shape[1] == columns else {
      return nil
    }
    self.init(try Matrix(tensor), tensor.dtype)
    guard matrix.values.allSatisfy(\.isFinite) else { return nil }
  }
}

/// The triangle on and above the diagonal, row by row.
extension SecondMoments: Statistic {
  static var kind: String { "moments" }

  var tensor: Tensor { get throws { Tensor(try triangle, shape: [inputs * (inputs + 1) / 2]) } }

  init?(_ tensor: Tensor, columns: Int) {
    guard let values = tensor.finite([columns * (columns + 1) / 2]) else { return nil }
    self.init(inputs: columns, triangle: values)
  }
}

/// Scale and offset, and 1 for a grid whose arithmetic is that of float32: [3].
extension InputGrid: Statistic {
  static var kind: String { "grid" }

  var tensor: Tensor { Tensor([scale, offset, isWide ? 1 : 0], shape: [3]) }

  init?(_ tensor: Tensor, columns: Int) {
    guard let values = tensor.finite([3]), values[0] > 0, abs(values[1]) <= 128, values[1] == values[1].rounded(),
      values[2] == 0 || values[2] == 1
    else { return nil }
    self.init(scale: values[0], offset: values[1])
    isWide = values[2] == 1
  }
}

/// [2, channels].
extension CacheRanges: Statistic {
  static var kind: String { "range" }

  var tensor: Tensor { Tensor(least + greatest, shape: [2, least.count]) }

  init?(_ tensor: Tensor, columns: Int) {
    guard let values = tensor.finite([2, columns]) else { return nil }
    self.init(least: Array(values[..<columns]), greatest: Array(values[columns...]))
  }
}

/// The scales of an operand of attention, [heads], or [1] where heads share it.
struct OperandScales: Statistic {
  static var kind: String { "scales" }
  let all: [Float]

  init(all: [Float]) { self.all = all }

  var tensor: Tensor { Tensor(all, shape: [all.count]) }

  init?(_ tensor: Tensor, columns: Int) {
    guard let values = tensor.finite([columns]) else { return nil }
    self.init(all: values)
  }
}

/// How many tokens an expert gets: [1].
struct TokenCount: Statistic {
  static var kind: String { "tokens" }
  let count: Int

  init(_ count: Int) { self.count = count }

  var tensor: Tensor { Tensor([Int64(count)], shape: [1]) }

  init?(_ tensor: Tensor, columns: Int) {
    guard tensor.dtype == .int64, tensor.shape == [1], let count = Int(exactly: tensor.integers[0]), count >= 0 else {
      return nil
    }
    self.init(count)
  }
}
