public import Tensors

/// Microscaling float4 (e2m1), two a byte: blocks of 32 inputs share a power of two. Weights and inputs both.
public struct MXFP4: LinearScheme {
  public init() {}

  public var name: String { "mxfp4" }
  public var groupSize: Int { 32 }
  public var descriptionType: String { "W4A4_MXFP4" }
  public var grid: WeightGrid { .mxfp4 }

  public func problem(_ weight: LinearWeight) -> String? {
    weight.columns % 2 == 0 ? nil : "\(weight.columns) columns, and two are packed into one byte"
  }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .uint8, [weight.rows, weight.columns / 2]),
      SchemeTensor("weight_scale", .uint8, [weight.rows, (weight.columns + 31) / 32]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.microscaling(rows, isE2M1: true)
    return [Bytes(result.codes), Bytes(result.exponents)]
  }
}
