public import Tensors

/// Eight-bit weights; inputs stay as they are. With offsets w = scale * (code - offset), where vLLM-Ascend's operator
/// adds them: only symmetric weights are loaded rightly.
public struct W8A16: LinearScheme {
  public let groupSize: Int
  public let isSymmetric: Bool

  public init(groupSize: Int = 0, isSymmetric: Bool = true) {
    self.groupSize = groupSize
    self.isSymmetric = isSymmetric
  }

  public var name: String { "w8a16" }
  public var descriptionType: String { "W8A16" }
  public var quantizesInputs: Bool { false }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: isSymmetric) }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    W8A8Dynamic(groupSize: groupSize).tensors(weight)
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 8, group: groupSize, symmetric: isSymmetric)
    return [Bytes(result.codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets)]
  }
}
