public import Tensors

/// Weights in their own type, many of them zero, see ``FloatSparsity``: what is left out shows in the bytes alone.
public struct W16A16S: LinearScheme {
  public init() {}

  public var name: String { "w16a16s" }
  public var descriptionType: String { "W16A16S" }
  public var quantizesInputs: Bool { false }
  public var keepsBias: Bool { true }
  public var namesBias: Bool { true }
  public var grid: WeightGrid { .float }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [SchemeTensor("weight", weight.dtype, [weight.rows, weight.columns])]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] { [rows.bytes] }
}
