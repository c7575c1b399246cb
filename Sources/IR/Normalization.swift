import Tensors

extension TensorType {
  /// Whether this is a list of `dim` numbers.
  func isVector(of dim: Dim) -> Bool { rank == 1 && unify(dims[0], dim) != nil }
}

/// What layer normalization computes of each row, a line along the last dimension; `y` is not rounded yet.
struct LayerNormRows {
  var y: [Double]
  var mean: [Double] = []
  var rstd: [Double] = []

  /// `(x - mean) * rstd * weight + bias` with `rstd = 1 / sqrt(mean((x - mean)^2) + epsilon)`.
  init(_ x: Tensor, weight: [Double]?, bias: [Double]?, epsilon: Double) {
    let length = x.shape[x.rank - 1]
    y = x.doubles
    for row in 0..<x.shape.dropLast().reduce(1, *) {
      let line = row * length..<(row + 1) * length
      let mean = y[line].reduce(0, +) / Double(length)
      let variance = y[line].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(length)
      let rstd = 1 / (variance + epsilon).squareRoot()
      for k in 0..<length {
        y[line.lowerBound + k] = (y[line.lowerBound + k] - mean) * rstd * (weight?[k] ?? 1) + (bias?[k] ?? 0)
      }
      self.mean.append(mean)
      self.rstd.append(rstd)
    }
  }
}

/// What RMS normalization computes of each row, a line along the last dimension; `y` is not rounded yet.
struct RMSNormRows {
  var y: [Double]
  var rstd: [Double] = []

  /// `x * rstd * weight` with `rstd = 1 / sqrt(mean(x^2) + epsilon)`.
  init(_ x: Tensor, weight: [Double], epsilon: Double) {
    let length = x.shape[x.rank - 1]
    y = x.doubles
    for row in 0..<x.shape.dropLast().reduce(1, *) {
      let line = row * length..<(row + 1) * length
      let rstd = 1 / (y[line].reduce(0) { $0 + $1 * $1 } / Double(length) + epsilon).squareRoot()
      for k in 0..<length { y[line.lowerBound + k] *= rstd * weight[k] }
      self.rstd.append(rstd)
    }
  }
}
