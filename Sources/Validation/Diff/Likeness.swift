import Tensors

/// Pairs tensors that hold nearly the same numbers, as before and after some training: some elements of each are taken
/// as a vector, and two whose directions agree far better than any other's belong together.
struct Likeness {
  /// Pairs of the old and the new, and whether the old one is to be transposed.
  private(set) var pairs: [(TensorStore.Entry, TensorStore.Entry, isTurned: Bool)] = []

  /// Groups of elements that are taken of a tensor.
  private static let groupCount = 32
  /// The least cosine of a pair, and the most that any other may have.
  private static let (near, far) = (0.9, 0.6)
  /// Tensors of one size among which pairs are looked for.
  private static let maximumCount = 4096

  private typealias Sample = (entry: TensorStore.Entry, values: [Double], isTurned: Bool)

  init(_ old: [TensorStore.Entry], _ new: [TensorStore.Entry], _ prober: Prober) throws {
    let sizes = Dictionary(grouping: old.filter { $0.dtype.isFloat }) { Tensor.elementCount(of: $0.shape) ?? 0 }
    for (size, targets) in Dictionary(
      grouping: new.filter({ $0.dtype.isFloat }),
      by: {
        Tensor.elementCount(of: $0.shape) ?? 0
      }
    ).sorted(by: { $0.key < $1.key }) where size > 1 {
      guard let sources = sizes[size], max(sources.count, targets.count) <= Likeness.maximumCount else { continue }
      try pair(sources, targets, prober)
    }
  }

  private mutating func pair(_ old: [TensorStore.Entry], _ new: [TensorStore.Entry], _ prober: Prober) throws {
    var samples: [Sample] = []
    for entry in old {
      if let values = try Likeness.values(TensorExpression(entry), prober) { samples.append((entry, values, false)) }
      guard entry.shape.count == 2, entry.shape.allSatisfy({ $0 > 1 }),
        let values = try Likeness.values(TensorExpression(entry).transposed(), prober)
      else { continue }
      samples.append((entry, values, true))
    }
    var taken: Set<TensorName> = []
    for entry in new {
      guard let values = try Likeness.values(TensorExpression(entry), prober) else { continue }
      let ranked = samples.filter { Likeness.fits($0, entry) }
        .map { ($0, Likeness.cosine($0.values, values)) }.sorted { $0.1 > $1.1 }
      guard let (best, cosine) = ranked.first, cosine >= Likeness.near, !taken.contains(best.entry.name),
        !ranked.dropFirst().contains(where: { $0.0.entry.name != best.entry.name && $0.1 > Likeness.far })
      else { continue }
      taken.insert(best.entry.name)
      pairs.append((best.entry, entry, best.isTurned))
    }
  }

  private static func fits(_ sample: Sample, _ entry: TensorStore.Entry) -> Bool {
    (sample.isTurned ? sample.entry.shape.reversed() : sample.entry.shape) == entry.shape
  }

  /// Some elements, at the same places in all tensors of a size; nil when they cannot be had or are all zero.
  private static func values(_ expression: TensorExpression, _ prober: Prober) throws -> [Double]? {
    guard let opened = try prober.open(expression) else { return nil }
    var values: [Double] = []
    let count = opened.groupCount
    for k in 0..<min(count, groupCount) {
      let bytes = try opened.group(count <= groupCount ? k : k * (count / groupCount))
      let size = bytes.count * 8 / expression.dtype.bits
      values += try Tensor(expression.dtype, shape: [size], bytes: bytes).doubles.map { $0.isFinite ? $0 : 0 }
    }
    return values.contains { $0 != 0 } ? values : nil
  }

  private static func cosine(_ a: [Double], _ b: [Double]) -> Double {
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for (x, y) in zip(a, b) { (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y) }
    return xx > 0 && yy > 0 ? xy / (xx * yy).squareRoot() : 0
  }
}
