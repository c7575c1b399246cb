public import Tensors

/// What attention multiplies.
public enum AttentionOperand: String, Sendable, CaseIterable {
  case queries = "fa_q"
  case keys = "fa_k"
  case values = "fa_v"

  var letter: String { rawValue.suffix(1).uppercased() }
}

/// How an operand of attention is quantized when the model runs.
public enum AttentionFormat: String, Sendable {
  /// With a scale for each head that calibration finds.
  case int8 = "INT8"
  case float8 = "FP8"
  /// With scales for each token, or for each block of 32, that are found when the model runs.
  case int8Dynamic = "INT8_DYNAMIC"
  case float8Dynamic = "FP8_DYNAMIC"
  case mxfp4Dynamic = "MXFP4_DYNAMIC"

  public var needsRange: Bool { self == .int8 || self == .float8 }
  /// The type of the zeros that are stored as offsets.
  public var offsetType: DType { self == .int8 ? .int8 : .float32 }

  /// The scale for values up to a magnitude, as msModelSlim calculates it in the type of the values.
  public func scale(_ range: RecallRange, dtype: DType) -> Float {
    guard self == .float8 else {
      return InputGrid(least: range.least, greatest: range.greatest, isSymmetric: true, dtype: dtype).scale
    }
    let largest = max(abs(range.least), abs(range.greatest), WeightCodes.round(1e-12, to: dtype))
    return WeightCodes.round(largest / 448, to: dtype)
  }

  /// What the description says of an attention: `Q_FP8_DYNAMIC_KV_FP8`, or `INT8` where all operands have the same.
  public static func description(_ formats: [AttentionOperand: AttentionFormat]) -> String {
    var groups: [(format: AttentionFormat, letters: String)] = []
    for operand in AttentionOperand.allCases {
      guard let format = formats[operand] else { continue }
      if let place = groups.firstIndex(where: { $0.format == format }) {
        groups[place].letters += operand.letter
      } else {
        groups.append((format, operand.letter))
      }
    }
    return groups.map { $0.letters == "QKV" ? $0.format.rawValue : "\($0.letters)_\($0.format.rawValue)" }
      .joined(separator: "_")
  }
}

/// The range of a share of the values: the narrowest of each sequence, and what holds all of these.
public struct RecallRange: Sendable {
  public private(set) var least = Float.infinity
  public private(set) var greatest = -Float.infinity
  private let share: Double

  public init(share: Double) { self.share = share }

  /// Throws ``ErrorCode/modelInput`` when there is NaN or infinity.
  public mutating func observe(_ values: [Float]) throws {
    guard let all = try range(of: values) else { return }
    let count = max(1, Int(share * Double(values.count)))
    var (low, high) = all
    if count < values.count {
      let sorted = values.sorted()
      var narrowest = Double.infinity
      for start in 0...(sorted.count - count) {
        let width = Double(sorted[start + count - 1]) - Double(sorted[start])
        guard width < narrowest else { continue }
        (narrowest, low, high) = (width, sorted[start], sorted[start + count - 1])
      }
    }
    (least, greatest) = (min(least, low), max(greatest, high))
  }
}
