public import Tensors

/// float8 e4m3 weights with a scale for each output; inputs are quantized per token when the model runs. vLLM-Ascend
/// registers the type as `W8A8FP8_DYNAMIC`.
public struct FP8: LinearScheme {
  public init() {}

  public var name: String { "fp8" }
  public var descriptionType: String { "WFP8AFP8_DYNAMIC" }
  public var grid: WeightGrid { .float8 }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .float8e4m3fn, [weight.rows, weight.columns]),
      SchemeTensor("weight_scale", .float32, [weight.rows, 1]),
      SchemeTensor("weight_offset", .float32, [weight.rows, 1]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.e4m3(rows)
    return [Bytes(result.codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets)]
  }
}
