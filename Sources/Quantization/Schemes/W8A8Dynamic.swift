public import Tensors

/// Eight-bit weights with a scale for each output, or for each group of inputs; inputs are quantized per token when the
/// model runs.
public struct W8A8Dynamic: LinearScheme {
  public let groupSize: Int
  /// Without, w = scale * (code - offset).
  public let isSymmetric: Bool

  public init(groupSize: Int = 0, isSymmetric: Bool = true) {
    self.groupSize = groupSize
    self.isSymmetric = isSymmetric
  }

  public var name: String { "w8a8-dynamic" + marks(isSymmetric) }
  public var descriptionType: String { "W8A8_DYNAMIC" }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: isSymmetric) }

  public func grouped(_ size: Int) -> (any LinearScheme)? { W8A8Dynamic(groupSize: size, isSymmetric: isSymmetric) }
  /// msModelSlim has offsets with groups alone.
  public func asymmetric() -> (any LinearScheme)? {
    groupSize > 0 ? W8A8Dynamic(groupSize: groupSize, isSymmetric: false) : nil
  }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    let scale = [weight.rows, groupSize == 0 ? 1 : weight.columns / groupSize]
    return [
      SchemeTensor("weight", .int8, [weight.rows, weight.columns]), SchemeTensor("weight_scale", .float32, scale),
      SchemeTensor("weight_offset", .float32, scale),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 8, group: groupSize, symmetric: isSymmetric)
    return [Bytes(result.codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets)]
  }
}
