internal import Tensors

extension WeightCodes {
  /// By the range without the largest magnitudes of each group: that of the least and the greatest among the `share` of
  /// elements nearest to zero. What is beyond it is clipped.
  static func clipped(
    _ rows: WeightRows, bits: Int, group: Int, symmetric: Bool, share: Double
  ) throws -> WeightCodes {
    let (columns, dtype) = (rows.weight.columns, rows.weight.dtype)
    let size = group == 0 ? columns : group
    let (steps, low) = (Float((1 << bits) - 1), -Float(1 << (bits - 1)))
    let epsilon = round(Float.ulpOfOne, to: dtype)
    var (scales, offsets): ([Float], [Float]) = ([], [])
    for row in 0..<rows.range.count {
      let values = try rows.values(row)
      for first in stride(from: 0, to: columns, by: size) {
        var kept = values[first..<min(first + size, columns)].sorted { $0.magnitude < $1.magnitude }
        kept.removeLast(kept.count - max(1, Int((share * Double(kept.count)).rounded(.up))))
        let (least, greatest) = (min(kept.min() ?? 0, 0), max(kept.max() ?? 0, 0))
        if symmetric {
          scales.append(max(round(max(-least, greatest) / (-low - 1), to: dtype), epsilon))
        } else {
          let span = round(round(greatest / steps, to: dtype) - round(least / steps, to: dtype), to: dtype)
          scales.append(max(span, epsilon))
          let zero = round(-least / scales[scales.count - 1], to: dtype).rounded(.toNearestOrEven)
          offsets.append(round(zero + low, to: dtype))
        }
      }
    }
    return try whole(rows, bits: bits, group: group, scales: scales, offsets: symmetric ? nil : offsets)
  }
}
