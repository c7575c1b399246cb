internal import CKernels
public import Tensors

/// What is left of numbers after they were quantized, in their own types.
public enum RoundTrip {
  /// An input with 8 bits and one scale by its own largest magnitude.
  public static func input(_ input: Tensor) throws -> Tensor {
    guard let (least, greatest) = try range(of: input.floats) else { return input }
    return try InputGrid(least: least, greatest: greatest, isSymmetric: true, dtype: input.dtype).roundTrip(input)
  }
}

extension RoundTrip {
  /// A weight as a scheme of whole numbers stores it; as it is for any other scheme.
  public static func weight(
    _ weight: Tensor, module: String, _ scheme: any LinearScheme, _ method: WeightMethod, stored: StoredCodes? = nil
  ) throws -> Tensor {
    guard case .whole = scheme.grid else { return weight }
    let rounded = try self.weight(Matrix(weight), module: module, weight.dtype, scheme, method, stored: stored)
    return try rounded.tensor(weight.dtype, shape: weight.shape)
  }

  /// Throws ``ErrorCode/unsupportedFeature`` for a scheme that stores no whole numbers.
  static func weight(
    _ weight: Matrix, module: String = "", _ dtype: DType, _ scheme: any LinearScheme, _ method: WeightMethod,
    stored: StoredCodes? = nil
  ) throws -> Matrix {
    guard case .whole(let bits, let isSymmetric) = scheme.grid else {
      throw BessemerError(.unsupportedFeature, "\(scheme.name) stores no whole numbers, which the search needs")
    }
    let shape = [weight.rows, weight.columns]
    let linear = try LinearWeight(module: module, dtype, shape: shape)
    let rows = WeightRows(
      linear, 0..<weight.rows, bytes: try weight.tensor(dtype, shape: shape).bytes, method: method, stored: stored)
    let group = scheme.groupSize
    let result = try WeightCodes.whole(rows, bits: bits, group: group, symmetric: isSymmetric)
    var values = Matrix(zeros: weight.rows, weight.columns)
    values.values.withUnsafeMutableBufferPointer { target in
      RoundTrip.widen(result, isSymmetric: isSymmetric, rows: weight.rows, columns: weight.columns, target.baseAddress)
    }
    return values
  }

  private static func widen(
    _ result: WeightCodes, isSymmetric: Bool, rows: Int, columns: Int, _ target: UnsafeMutablePointer<Float>?
  ) {
    // The kernel adds what is taken off here.
    let offsets = isSymmetric ? nil : result.offsets.map { -$0 }
    result.codes.withUnsafeBytes { codes in
      result.scales.withUnsafeBufferPointer { scales in
        func run(_ offsets: UnsafePointer<Float>?) {
          var matrix = bk_codes(
            type: BK_CODES_INT8, rows: rows, columns: columns, data: codes.baseAddress, groups: scales.count / rows,
            scales: scales.baseAddress, offsets: offsets, exponents: nil, rounding: BK_F32)
          bk_widen_codes(nil, &matrix, target)
        }
        if let offsets { run(offsets) } else { run(nil) }
      }
    }
  }

  /// Tokens as a scheme's inputs are rounded in msModelSlim's own forward pass: with a scale for each channel where
  /// weights have one for a row, else with one for each token. Each operation is rounded to `dtype`.
  public static func inputs(_ tokens: Matrix, _ scheme: any LinearScheme, _ dtype: DType = .float32) -> Matrix {
    guard scheme.quantizesInputs else { return tokens }
    if scheme.groupSize > 0 { return tokens.roundedRows(dtype) }
    let steps = tokens.columnMagnitudes.map { max(($0 / 127).rounded(to: dtype), .ulpOfOne) }
    var result = tokens
    for index in result.values.indices {
      let step = steps[index % tokens.columns]
      let code = (result.values[index] / step).rounded(to: dtype).rounded(.toNearestOrEven)
      result.values[index] = (min(max(code, -128), 127) * step).rounded(to: dtype)
    }
    return result
  }
}
