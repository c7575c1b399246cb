internal import CKernels
internal import Tensors

extension WeightCodes {
  /// msModelSlim's `ssz`: from the scales of each group's range, the scale that fits the codes best by least squares,
  /// and the codes of that scale, in turns. Each group keeps its best scale; all go on until none of them gets better.
  ///
  /// Sums are rounded to the weight's type, so the scales are numbers of that type.
  static func fitted(_ rows: WeightRows, bits: Int, group: Int, steps: Int) throws -> WeightCodes {
    let high = (1 << (bits - 1)) - 1
    let dtype = rows.weight.dtype
    let size = Float(group == 0 ? rows.weight.columns : group)
    let least = round(1e-30, to: dtype)
    func fit(_ scales: [Float]) throws -> (errors: [Float], next: [Float]) {
      var sums = [Double](repeating: 0, count: 3 * scales.count)
      _ = try make(rows, group: group, codes: 0) { weight, _, _, _ in
        sums.withUnsafeMutableBufferPointer { sums in
          scales.withUnsafeBufferPointer {
            bk_quant_fit(nil, weight, Int32(-high - 1), Int32(high), $0.baseAddress, sums.baseAddress)
          }
        }
      }
      return (
        scales.indices.map { Float(sums[3 * $0 + 2]) / size },
        scales.indices.map { index in
          let squares = max(round(Float(sums[3 * index + 1]), to: dtype), least)
          return round(round(Float(sums[3 * index]), to: dtype) / squares, to: dtype)
        }
      )
    }
    var best = try make(rows, group: group, codes: rows.elementCount) { weight, scales, _, codes in
      codes.withMemoryRebound(to: Int8.self) { bk_quant_int(nil, weight, Int32(bits), scales, nil, $0.baseAddress) }
    }.scales
    var (errors, scales) = try fit(best)
    for _ in 0..<steps {
      let (current, next) = try fit(scales)
      let isBetter = errors.indices.contains { index in
        let gain = errors[index] - current[index]
        return !(gain / max(errors[index], 1e-4) < 1e-10) && !(gain.magnitude < 1e-10)
      }
      guard isBetter else { break }
      for index in errors.indices where current[index] < errors[index] {
        (errors[index], best[index]) = (current[index], scales[index])
      }
      scales = next
    }
    return try whole(rows, bits: bits, group: group, scales: best)
  }
}
