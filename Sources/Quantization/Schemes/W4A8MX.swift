public import Tensors

/// Microscaling float4 weights with microscaling float8 inputs.
public struct W4A8MX: LinearScheme {
  public init() {}

  public var name: String { "w4a8-mx" }
  public var groupSize: Int { 32 }
  public var descriptionType: String { "W4A8_MXFP" }
  public var grid: WeightGrid { .mxfp4 }

  public func problem(_ weight: LinearWeight) -> String? { MXFP4().problem(weight) }
  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] { MXFP4().tensors(weight) }
  public func quantize(_ rows: WeightRows) throws -> [Bytes] { try MXFP4().quantize(rows) }
}
