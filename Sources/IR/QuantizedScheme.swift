public import Tensors

/// How the weight of a linear layer is stored in few bits and multiplied, by the names that AscendV1 descriptions use.
public enum QuantizedScheme: String, Sendable, Codable, CaseIterable {
  /// Inputs quantized by one scale and offset from calibration.
  case w8a8 = "W8A8"
  case w8a8Dynamic = "W8A8_DYNAMIC"
  /// Prompts as `w8a8Dynamic`, single tokens as `w8a8`.
  case w8a8Mix = "W8A8_MIX"
  case w8a16 = "W8A16"
  case w4a16 = "W4A16"
  case w4a8Dynamic = "W4A8_DYNAMIC"
  case w4a4Dynamic = "W4A4_DYNAMIC"
  case fp8 = "WFP8AFP8_DYNAMIC"
  case mxfp8 = "W8A8_MXFP8"
  case mxfp4 = "W4A4_MXFP4"
  case w4a8MX = "W4A8_MXFP"

  /// The type of the codes.
  public var codes: DType {
    switch self {
    case .w8a8, .w8a8Dynamic, .w8a8Mix, .w8a16, .w4a4Dynamic: .int8
    case .w4a16, .w4a8Dynamic: .int4
    case .fp8, .mxfp8: .float8e4m3fn
    case .mxfp4, .w4a8MX: .float4e2m1
    }
  }

  /// Whether blocks of 32 share a power of two.
  public var isBlocked: Bool { self == .mxfp8 || self == .mxfp4 || self == .w4a8MX }
  /// Whether the input's scale comes from calibration.
  public var isStatic: Bool { self == .w8a8 || self == .w8a8Mix }
  /// Whether inputs stay as they are, and codes have offsets.
  public var keepsInputs: Bool { self == .w8a16 || self == .w4a16 }
  /// Whether offsets are added to codes, as vLLM-Ascend's operator does, and not subtracted.
  public var addsOffset: Bool { self == .w8a16 }

  /// The tensors that stand for a weight.
  public var operands: [String] {
    let own = ["codes", "scale"]
    if keepsInputs { return own + ["offset"] }
    return isStatic ? own + ["deq_scale", "input_scale", "input_offset", "quant_bias"] : own
  }
}

/// In whose arithmetic quantized products are carried out: a generation of chips.
public enum QuantizedArithmetic: String, Sendable, Codable, CaseIterable {
  /// Atlas A2 and A3: inputs are multiplied by the reciprocal of their scale.
  case a2
  /// Ascend 950: inputs are divided by their scale.
  case a5
  /// Atlas 300I Duo: as `a2`, but float16 in and out, and scales of 19 bits.
  case p310 = "310p"
}

extension QuantizedScheme {
  /// The product of an input `x` with the weight that `operands` stand for, in operators.
  ///
  /// The operators are added to a graph, or carried out at once; `V` is what they take and give.
  /// - Parameters:
  ///   - x: [.., inputs] of type `type`, which the result has too.
  ///   - checkpoint: the type of the model's own tensors.
  ///   - bias: [outputs] in float32, or nil; for a static scheme it is in `quant_bias` already.
  ///   - isShort: of `w8a8Mix`, whether there is one token, as a boolean.
  ///   - add: adds an operator and gives its results.
  package func product<V>(
    _ x: V, _ type: TensorType, _ operands: [V], bias: V?, arithmetic: QuantizedArithmetic, checkpoint: DType,
    add: (any Op, [V]) throws -> [V]
  ) throws -> V {
    func one(_ op: any Op, _ operands: V...) throws -> V { try add(op, operands)[0] }
    func biased(_ y: V) throws -> V { try bias.map { try one(Add(), y, $0) } ?? y }
    let (codes, scale) = (operands[0], operands[1])
    // The chip's own type in and out.
    let inner = arithmetic == .p310 ? DType.float16 : type.dtype
    let x = inner == type.dtype ? x : try one(Cast(to: inner), x)
    func result(_ y: V) throws -> V { inner == type.dtype ? y : try one(Cast(to: type.dtype), y) }
    if keepsInputs {
      let offset = try addsOffset ? operands[2] : one(Negate(), operands[2])
      return try biased(result(one(Ascend.WeightQuantBatchMatmulV2(), x, codes, scale, offset)))
    }
    func multiply(_ x: V, _ scale: V, _ token: V, _ bias: V?, short: Bool = false) throws -> V {
      let op = Ascend.QuantBatchMatmulV3(dtype: inner, shortScale: short || arithmetic == .p310)
      return try result(add(op, [x, codes, scale, token] + [bias].compactMap { $0 })[0])
    }
    func dynamic(_ op: any Op, short: Bool = false) throws -> V {
      let quantized = try add(op, [x])
      return try multiply(quantized[0], scale, quantized[1], bias, short: short)
    }
    let divides = arithmetic == .a5
    switch self {
    case .w8a8Dynamic, .w4a8Dynamic: return try dynamic(Ascend.DynamicQuant(divides: divides))
    case .w4a4Dynamic: return try dynamic(Ascend.DynamicQuant(limit: 7, divides: divides))
    case .fp8: return try dynamic(Ascend.DynamicQuant(dtype: .float8e4m3fn, limit: 448, divides: true))
    case .mxfp8, .w4a8MX: return try dynamic(Ascend.DynamicMxQuant())
    case .mxfp4: return try dynamic(Ascend.DynamicMxQuant(dtype: .float4e2m1))
    default: break
    }
    // The reciprocal of the input's scale is taken in the model's type.
    let (deqScale, inputScale, inputOffset, quantBias) = (operands[2], operands[3], operands[4], operands[5])
    let factor = try one(Cast(to: .float32), one(Reciprocal(), one(Cast(to: checkpoint), inputScale)))
    let whole = try one(Ascend.AscendQuantV2(), x, factor, inputOffset)
    // Scales that are stored as bits go through the matrix unit's 19.
    let short = checkpoint != .bfloat16
    let unit = try one(Constant(Tensor([Float(1)], shape: [1])))
    guard self == .w8a8Mix else { return try multiply(whole, deqScale, unit, quantBias, short: short) }
    let isToken = try one(Equal(), one(Size(axis: type.rank - 2), x), one(Constant(Tensor([Int64(1)], shape: []))))
    func choose(_ a: V, _ b: V) throws -> V { try one(Where(), isToken, a, b) }
    let quantized = try add(Ascend.DynamicQuant(divides: divides), [x])
    let none = try one(Cast(to: .int32), one(Constant(Tensor([Int64(0)], shape: [1]))))
    let y = try multiply(
      choose(whole, quantized[0]), choose(deqScale, scale), choose(unit, quantized[1]), choose(quantBias, none))
    guard let bias else { return y }
    // What is in `quant_bias` already is not added again.
    let nothing = try one(Constant(Tensor([Float(0)], shape: [1])))
    return try one(Add(), y, choose(nothing, bias))
  }
}
