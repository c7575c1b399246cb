public import Tensors

/// HiFloat8 weights, each rounded by itself: the format's range needs no scale. A byte each, as no safetensors type
/// stands for it.
public struct HiF8: LinearScheme {
  public init() {}

  public var name: String { "hif8" }
  public var descriptionType: String { "WHIF8A16" }
  public var quantizesInputs: Bool { false }
  public var grid: WeightGrid { .hifloat8 }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [SchemeTensor("weight", .uint8, [weight.rows, weight.columns])]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let values = try (0..<rows.range.count).flatMap { try rows.values($0) }
    return [try Tensor(.hifloat8, shape: [values.count], doubles: values.map { Double($0) }).bytes]
  }
}
