public import Tensors

/// ``W4A8Dynamic`` as mindformers loads it: a scale for each group of inputs, stored as a float's bits in 64, and the
/// correction for codes without sign left to the loader.
///
/// Source: mindformers 2.1, `golden_stick/a8dynw4`, which takes it for routed experts alone.
public struct W4A8Group: LinearScheme {
  public let groupSize: Int

  public init(groupSize: Int) { self.groupSize = groupSize }

  public var name: String { "w4a8-dynamic" + marks() }
  public var descriptionType: String { "W4A8_DYNAMIC" }
  public var grid: WeightGrid { .whole(bits: 4, isSymmetric: true) }
  public var rowMultiple: Int { 2 }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .int8, [weight.rows / 2, weight.columns]),
      SchemeTensor("weight_scale", .uint64, [weight.rows, weight.columns / groupSize]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 4, group: groupSize)
    let scales = result.scales.map { UInt64($0.bitPattern) }
    return [Bytes(result.packedRows(rows.weight.columns)), scales.withUnsafeBytes { Bytes($0) }]
  }
}
