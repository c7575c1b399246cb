import Glibc
public import Tensors

/// Scales `mean^r` of the input's channels, r of 0, 1/n, ... chosen by what the block computes when its weights alone
/// are quantized.
///
/// Source: Lin et al. 2023, with msModelSlim's grid and normalization.
public struct AWQ: Sendable, Equatable {
  public var gridSize: Int
  /// Whether weights are cut to the range whose rounding costs least as well, see ``AWQSearch``.
  public var cuts: Bool

  public init(gridSize: Int = 20, cuts: Bool = false) {
    self.gridSize = gridSize
    self.cuts = cuts
  }

  /// - Parameters:
  ///   - mean: the mean magnitude of each channel.
  ///   - loss: the mean squared difference of the block's outputs for scales that the weights are multiplied by before
  ///     and divided by after they are quantized.
  /// - Returns: the best scales.
  public func search(mean: [Float], dtype: DType, loss: ([Float]) throws -> Double) throws -> [Float] {
    var best: (scales: [Float], loss: Double) = (mean.map { _ in 1 }, .infinity)
    for step in 0..<gridSize {
      let scales = try AWQ.scales(mean, ratio: Double(step) / Double(gridSize)).rounded(to: dtype)
      let found = try loss(scales)
      if found < best.loss { best = (scales, found) }
    }
    return best.scales
  }

  /// What an input's channels are multiplied with once the source is divided by scales in a type.
  public static func divisors(_ scales: [Float], gains: [Float]?, _ dtype: DType) throws -> [Float] {
    let reciprocals = try scales.map { 1 / $0 }.rounded(to: dtype)
    guard let gains else { return reciprocals }
    let products = try zip(gains, reciprocals).map { $0 * $1 }.rounded(to: dtype)
    return products.indices.map { gains[$0] == 0 ? reciprocals[$0] : products[$0] / gains[$0] }
  }

  static func scales(_ mean: [Float], ratio: Double) -> [Float] {
    let powers = RoundedPower.of(mean, ratio, .float32).map { max($0, 1e-4) }
    let middle = sqrtf((powers.max() ?? 1) * (powers.min() ?? 1))
    return powers.map { power in
      let scale = power / middle
      return scale.isFinite ? scale : 1
    }
  }
}
