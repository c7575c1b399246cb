public import Tensors

/// What a smoothing algorithm sees of a subgraph.
public struct SmoothingInput: Sendable {
  public let kind: Subgraph.Kind
  public let heads: Subgraph.Heads?
  /// The type that scales are rounded to, that of the weights.
  public let dtype: DType
  /// The weights of the layers that read the value, [outputs, inputs].
  public let weights: [Matrix]
  /// For each channel of the value the largest magnitude over all tokens.
  public let largest: [Float]
  /// For each channel the mean magnitude.
  public let mean: [Float]
  /// The value at every token; empty where the algorithm does not look at them.
  public let tokens: Matrix

  public init(
    kind: Subgraph.Kind, heads: Subgraph.Heads?, dtype: DType, weights: [Matrix], largest: [Float], mean: [Float],
    tokens: Matrix
  ) {
    self.kind = kind
    self.heads = heads
    self.dtype = dtype
    self.weights = weights
    self.largest = largest
    self.mean = mean
    self.tokens = tokens
  }

  /// The largest magnitude of each column over all weights, at least 1e-5.
  var weightMagnitudes: [Float] {
    get throws {
      let all = weights.map(\.columnMagnitudes)
      let largest = all.dropFirst().reduce(all[0]) { zip($0, $1).map { max($0, $1) } }
      return try largest.map { max($0, 1e-5) }.rounded(to: dtype)
    }
  }
}

/// What the channels of a subgraph's value are divided by.
public struct SmoothingScales: Sendable, Equatable {
  /// For each channel that is read.
  public let read: [Float]
  /// For each output of the source: the same, or fewer where heads are shared.
  public let source: [Float]

  public init(read: [Float], source: [Float]) {
    self.read = read
    self.source = source
  }

  init(_ scales: [Float]) { self.init(read: scales, source: scales) }
}

/// A way to move the size of a value's channels into the weights that read them.
public protocol SmoothingAlgorithm: Sendable {
  /// Whether ``SmoothingInput/tokens`` is needed.
  var needsTokens: Bool { get }
  /// Nil leaves the subgraph as it is.
  func scales(_ input: SmoothingInput, _ threads: KernelThreads) throws -> SmoothingScales?
}

/// Scales of query heads that share a head of keys and values, one for all.
public enum SharedHeads {
  /// The mean over the heads of a group.
  public static func mean(_ scales: [Float], _ heads: Subgraph.Heads, _ dtype: DType) throws -> SmoothingScales {
    try reduce(scales, heads) { group in
      let sum = group.reduce(0, +)
      return sum / Float(group.count)
    }.rounded(to: dtype)
  }

  /// `combine` makes one of the values that the heads of a group have.
  static func reduce(_ values: [Float], _ heads: Subgraph.Heads, _ combine: ([Float]) -> Float) -> SmoothingScales {
    let shared = heads.query / heads.keyValue
    var read: [Float] = []
    var source: [Float] = []
    for group in 0..<heads.keyValue {
      let one = (0..<heads.depth).map { channel in
        combine((0..<shared).map { values[(group * shared + $0) * heads.depth + channel] })
      }
      source += one
      for _ in 0..<shared { read += one }
    }
    return SmoothingScales(read: read, source: source)
  }
}

extension SmoothingScales {
  func rounded(to dtype: DType) throws -> SmoothingScales {
    SmoothingScales(read: try read.rounded(to: dtype), source: try source.rounded(to: dtype))
  }
}
