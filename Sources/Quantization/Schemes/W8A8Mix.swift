public import Tensors

/// ``W8A8`` and ``W8A8Dynamic`` in one: prompts are quantized per token, what follows by the scale from calibration.
public struct W8A8Mix: LinearScheme {
  /// See ``W8A8/hasFloatScales``.
  public let hasFloatScales: Bool

  public init(hasFloatScales: Bool = false) { self.hasFloatScales = hasFloatScales }

  public var name: String { "w8a8-mix" }
  public var descriptionType: String { "W8A8_MIX" }
  public var grid: WeightGrid { .whole(bits: 8, isSymmetric: true) }
  public var needsInputGrid: Bool { true }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    W8A8(hasFloatScales: hasFloatScales).tensors(weight) + W8A8Dynamic().tensors(weight).dropFirst()
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 8)
    return try W8A8(hasFloatScales: hasFloatScales).tensors(rows, result) + [
      WeightCodes.bytes(result.scales), WeightCodes.bytes(result.offsets),
    ]
  }
}
