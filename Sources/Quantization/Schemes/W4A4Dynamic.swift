public import Tensors

/// Four-bit weights, one a byte, with a scale for each output or group; inputs are quantized per token when the model
/// runs.
public struct W4A4Dynamic: LinearScheme {
  public let groupSize: Int

  public init(groupSize: Int = 0) { self.groupSize = groupSize }

  public var name: String { "w4a4-dynamic" + marks() }
  public var descriptionType: String { "W4A4_DYNAMIC" }
  public var grid: WeightGrid { .whole(bits: 4, isSymmetric: true) }

  public func grouped(_ size: Int) -> (any LinearScheme)? { W4A4Dynamic(groupSize: size) }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    W8A8Dynamic(groupSize: groupSize).tensors(weight)
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 4, group: groupSize)
    return [Bytes(result.codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets)]
  }
}
