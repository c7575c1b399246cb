public import Tensors

/// Eight-bit weights; inputs stay as they are. vLLM-Ascend's operator takes w = scale * (code + offset), and offsets
/// are stored with this sign; msModelSlim stores the other one, w = scale * (code - offset).
public struct W8A16: LinearScheme {
  public let groupSize: Int
  public let isSymmetric: Bool
  /// Whether offsets are to be added, not subtracted.
  public let addsOffset: Bool

  public init(groupSize: Int = 0, isSymmetric: Bool = true, addsOffset: Bool = true) {
    self.groupSize = groupSize
    self.isSymmetric = isSymmetric
    self.addsOffset = addsOffset
  }

  public var name: String { "w8a16" + marks(isSymmetric) }
  public var descriptionType: String { "W8A16" }
  public var quantizesInputs: Bool { false }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: isSymmetric) }

  public func grouped(_ size: Int) -> (any LinearScheme)? {
    W8A16(groupSize: size, isSymmetric: isSymmetric, addsOffset: addsOffset)
  }
  public func asymmetric() -> (any LinearScheme)? {
    W8A16(groupSize: groupSize, isSymmetric: false, addsOffset: addsOffset)
  }
  public func original() -> any LinearScheme {
    W8A16(groupSize: groupSize, isSymmetric: isSymmetric, addsOffset: false)
  }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    W8A8Dynamic(groupSize: groupSize).tensors(weight)
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 8, group: groupSize, symmetric: isSymmetric)
    let offsets = addsOffset && !isSymmetric ? result.offsets.map { 0 - $0 } : result.offsets
    return [Bytes(result.codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(offsets)]
  }
}
