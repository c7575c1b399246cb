internal import CKernels

extension WeightCodes {
  /// The format of microscaling blocks, with the rows' method.
  static func mxFormat(_ rows: WeightRows, isE2M1: Bool) throws -> bk_mx {
    func format(_ rule: bk_mx_rule, divisor: Double = 1) -> bk_mx {
      bk_mx(is_e2m1: isE2M1, rule: rule, divisor: Float(divisor))
    }
    switch rows.method {
    case .fourOverSix: return format(BK_MX_NEAREST)
    case .mseRound: return format(BK_MX_LEAST_ERROR)
    case .ceilX(divisor: let divisor?): return format(BK_MX_CEIL, divisor: divisor)
    case .ceilX(divisor: nil):
      // The divisor with the least mean of squares in the weight's type, the first of those that share it.
      var best = (mean: Float.infinity, divisor: 6.0)
      for divisor in stride(from: 6.0, through: 12, by: 0.25) {
        var sums = [Double](repeating: 0, count: rows.range.count * ((rows.weight.columns + 31) / 32))
        _ = try make(rows, group: 32, codes: 0) { weight, _, _, _ in
          sums.withUnsafeMutableBufferPointer {
            bk_quant_mx_error(nil, weight, format(BK_MX_CEIL, divisor: divisor), $0.baseAddress)
          }
        }
        let mean = round(Float(sums.reduce(0, +)) / Float(32 * sums.count), to: rows.weight.dtype)
        if mean < best.mean { best = (mean, divisor) }
      }
      return format(BK_MX_CEIL, divisor: best.divisor)
    default: return format(BK_MX_FLOOR)
    }
  }
}
