public import Tensors

/// Four-bit weights, two a byte; inputs stay as they are. With a scale for each output two inputs share a byte; with
/// groups two outputs do, as their kernels want it. MindIE loads both.
///
/// Source: msModelSlim 26.1, the packing of its older savers.
public struct W4A16: LinearScheme {
  public let groupSize: Int
  public let isSymmetric: Bool

  public init(groupSize: Int = 0, isSymmetric: Bool = true) {
    self.groupSize = groupSize
    self.isSymmetric = isSymmetric
  }

  public var name: String { "w4a16" + marks(isSymmetric) }
  public var descriptionType: String { "W4A16" }
  public var grid: WeightGrid { .whole(bits: 4, isSymmetric: isSymmetric) }
  public var quantizesInputs: Bool { false }
  public var rowMultiple: Int { groupSize == 0 ? 1 : 2 }

  public func grouped(_ size: Int) -> (any LinearScheme)? { W4A16(groupSize: size, isSymmetric: isSymmetric) }
  public func asymmetric() -> (any LinearScheme)? { W4A16(groupSize: groupSize, isSymmetric: false) }

  public func problem(_ weight: LinearWeight) -> String? {
    if groupSize == 0, weight.columns % 2 != 0 { return "\(weight.columns) columns, two are packed into one" }
    return W8A8Dynamic(groupSize: groupSize).problem(weight)
      ?? (weight.rows % rowMultiple == 0 ? nil : "\(weight.rows) rows, two are packed into one")
  }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    let shape = groupSize == 0 ? [weight.rows, weight.columns / 2] : [weight.rows / 2, weight.columns]
    return [SchemeTensor("weight", .int8, shape)] + W8A8Dynamic(groupSize: groupSize).tensors(weight).dropFirst()
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 4, group: groupSize, symmetric: isSymmetric)
    let codes = groupSize == 0 ? result.packedColumns() : result.packedRows(rows.weight.columns)
    return [Bytes(codes), WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets)]
  }
}
