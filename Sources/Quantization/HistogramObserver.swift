import Glibc
import Tensors

/// ``InputRange/histogram``: 2,048 bins, from both ends of which bins are left out as long as that lessens the squared
/// error of 256 steps over the rest.
///
/// Source: PyTorch's HistogramObserver, with msModelSlim's search over it. Arithmetic in float32 where theirs is; of
/// values in float16 bins are counted and weighed in float16, so that none counts more than 2,048 and a narrow one may
/// weigh nothing or infinitely much.
struct HistogramObserver: InputObserver {
  let isSymmetric: Bool
  /// Whether the range stays as the search finds it, between values, as for recipes of `modelslim_v0`.
  let isV0: Bool
  private var dtype = DType.float32
  private var bins = [Float](repeating: 0, count: HistogramObserver.binCount)
  private var bounds: (least: Float, greatest: Float)?
  /// The range of the last tensor's values that are not left out.
  private var clip: (least: Float, greatest: Float)?
  /// Whether the range is in float32, whatever the type of the values.
  private var isWide = false

  private static let binCount = 2048
  private static let stepCount = 256
  /// Bins are split into so many when they are counted anew over a wider range.
  private static let splits = 16

  init(isSymmetric: Bool, isV0: Bool = false) {
    self.isSymmetric = isSymmetric
    self.isV0 = isV0
  }

  mutating func observe(_ input: Tensor) throws {
    let values = input.floats
    guard let (low, high) = try range(of: values) else { return }
    dtype = input.dtype
    // bfloat16 is widened there, and stays so.
    isWide = dtype == .bfloat16
    if low == high {
      clip = (low, high)
      return
    }
    if let old = bounds {
      let new = (least: min(old.least, low), greatest: max(old.greatest, high))
      let counted = count(values, new)
      let kept = new == old ? bins : spread(bins, from: old, to: new)
      bins = zip(kept, counted).map { round($0 + $1) }
      bounds = new
    } else {
      bounds = (low, high)
      bins = count(values, (low, high))
    }
    guard let found = search() else { return }
    guard !isV0 else {
      clip = found
      return
    }
    let (least, greatest) = (round(found.least), round(found.greatest))
    let inside = try range(of: values.filter { $0 >= least && $0 <= greatest })
    isWide = isWide || inside == nil
    clip = inside ?? found
  }

  /// To the type in which bins are counted.
  private func round(_ value: Float) -> Float {
    dtype == .float16 && !isV0 ? WeightCodes.round(value, to: dtype) : value
  }

  var grid: InputGrid? {
    guard let clip else { return nil }
    var grid = InputGrid(
      least: clip.least, greatest: clip.greatest, isSymmetric: isSymmetric, dtype: isWide ? .float32 : dtype,
      isV0: isV0)
    // For `modelslim_v0` the outcome is rounded again.
    guard !isV0 else {
      return InputGrid(
        scale: WeightCodes.round(grid.scale, to: dtype), offset: WeightCodes.round(grid.offset, to: dtype))
    }
    grid.isWide = isWide
    return grid
  }

  func roundTrip(_ input: Tensor) throws -> Tensor {
    guard let grid, let clip else { return input }
    guard !isV0 else { return try grid.roundTrip(input) }
    let values = try grid.roundTrip(input).floats
    return try Tensor(values.map { min(max($0, clip.least), clip.greatest) }, shape: input.shape)
      .cast(to: input.dtype)
  }

  /// How many values fall into each bin.
  private func count(_ values: [Float], _ range: (least: Float, greatest: Float)) -> [Float] {
    let binCount = HistogramObserver.binCount
    var counts = [Float](repeating: 0, count: binCount)
    let width = round(range.greatest - range.least)
    for value in values where value >= range.least && value <= range.greatest {
      let place = Int(round(round(round(value - range.least) / width) * Float(binCount)))
      counts[min(place, binCount - 1)] = round(counts[min(place, binCount - 1)] + 1)
    }
    return counts
  }

  /// The bins of a narrower range over a wider one.
  private func spread(
    _ bins: [Float], from old: (least: Float, greatest: Float), to new: (least: Float, greatest: Float)
  ) -> [Float] {
    let (binCount, splits) = (HistogramObserver.binCount, HistogramObserver.splits)
    let fine = binCount * splits
    let width = (old.greatest - old.least) / Float(fine)
    let edges = HistogramObserver.linear(new.least, new.greatest, binCount)
    let starts = HistogramObserver.linear(old.least, old.greatest, fine)
    var sums = [Double](repeating: 0, count: binCount)
    var edge = 0
    for index in 0..<fine {
      let middle = starts[index] + 0.5 * width
      while edge <= binCount, edges[edge] <= middle { edge += 1 }
      sums[min(max(edge - 1, 0), binCount - 1)] += Double(round(bins[index / splits] / Float(splits)))
    }
    return sums.map { Float($0) }
  }

  /// `count + 1` values from one to the other in equal steps, counted from the nearer end.
  private static func linear(_ start: Float, _ end: Float, _ count: Int) -> [Float] {
    let step = (end - start) / Float(count)
    return (0...count).map {
      $0 < (count + 1) / 2 ? start + step * Float($0) : end - step * Float(count - $0)
    }
  }

  private func search() -> (least: Float, greatest: Float)? {
    guard let bounds else { return nil }
    let count = HistogramObserver.binCount
    let total = Double(round(bins.reduce(0, +)))
    guard total > 0 else { return bounds }
    var sums: [Float] = []
    var sum: Double = 0
    for bin in bins {
      sum += Double(bin)
      sums.append(round(Float(sum)))
    }
    let granularity = 1e-5
    var (alpha, beta) = (0.0, 1.0)
    var (start, end) = (0, count - 1)
    var least = error(start, end)
    while alpha < beta {
      let (nextAlpha, nextBeta) = (alpha + granularity, beta - granularity)
      var (left, right) = (start, end)
      while left < end, sums[left] < round(Float(nextAlpha * total)) { left += 1 }
      while right > start, sums[right] > round(Float(nextBeta * total)) { right -= 1 }
      var (nextStart, nextEnd) = (start, end)
      if right - start > end - left {
        nextEnd = left
        beta = nextBeta
      } else {
        nextStart = right
        alpha = nextAlpha
      }
      if nextStart == start, nextEnd == end { continue }
      let next = error(nextStart, nextEnd)
      if next > least { break }
      (least, start, end) = (next, nextStart, nextEnd)
    }
    let width = bounds.greatest / Float(count) - bounds.least / Float(count)
    return (bounds.least + width * Float(start), Float(end + 1) * (bounds.least / Float(end + 1) + width))
  }

  /// How many whole steps fit into a value, by the remainder, as PyTorch divides: edges of bins are often those of
  /// steps.
  private static func steps(_ value: Float, of step: Float) -> Float {
    let rest = fmodf(value, step)
    let quotient = (value - rest) / step - (rest != 0 && (step < 0) != (rest < 0) ? 1 : 0)
    let whole = quotient.rounded(.down)
    return quotient - whole > 0.5 ? whole + 1 : whole
  }

  /// The squared error when the bins from `start` to `end` get all steps and the others the nearest one.
  private func error(_ start: Int, _ end: Int) -> Double {
    guard let bounds else { return 0 }
    let count = Double(HistogramObserver.binCount)
    let width = Double(bounds.greatest) / count - Double(bounds.least) / count
    let step = width * Double(end - start + 1) / Double(HistogramObserver.stepCount)
    guard step != 0 else { return 0 }
    let last = Float(HistogramObserver.stepCount - 1)
    let (width32, step32) = (Float(width), Float(step))
    func norm(_ from: Float, _ to: Float) -> Float { (to * to * to - from * from * from) / 3 }
    let whole = norm(-step32 / 2, step32 / 2)
    var sum: Double = 0
    for index in bins.indices where bins[index] > 0 {
      let begin = Float(index - start) * width32
      let finish = begin + width32
      let first = min(max(HistogramObserver.steps(begin, of: step32), 0), last)
      let final = min(max(HistogramObserver.steps(finish, of: step32), 0), last)
      let density = round(bins[index] / width32)
      let parts =
        density * norm(begin - (first + 0.5) * step32, step32 / 2) + (final - first - 1) * round(density * whole)
        + density * norm(-step32 / 2, finish - (final * step32 + step32 / 2))
      sum += Double(parts)
    }
    return sum
  }
}
