public import Tensors

/// Microscaling float8: blocks of 32 inputs share a power of two. Weights and inputs both.
public struct MXFP8: LinearScheme {
  public init() {}

  public var name: String { "mxfp8" }
  public var groupSize: Int { 32 }
  public var descriptionType: String { "W8A8_MXFP8" }
  public var grid: WeightGrid { .mxfp8 }

  /// A row's last block may be shorter.
  public func problem(_: LinearWeight) -> String? { nil }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .float8e4m3fn, [weight.rows, weight.columns]),
      SchemeTensor("weight_scale", .uint8, [weight.rows, (weight.columns + 31) / 32]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.microscaling(rows, isE2M1: false)
    return [Bytes(result.codes), Bytes(result.exponents)]
  }
}
