public import Tensors

/// Four-bit weights with a scale for each output, two rows packed into one; inputs are quantized per token when the
/// model runs.
///
/// The kernel reads codes without sign, so `scale_bias` holds 8 * the sum of scale * code over a row, or over each of
/// 16 parts of a row where tensor parallelism cuts the inputs.
public struct W4A8Dynamic: LinearScheme {
  public init() {}

  public var name: String { "w4a8-dynamic" }
  public var descriptionType: String { "W4A8_DYNAMIC" }
  public var grid: WeightGrid { .whole(bits: 4, isSymmetric: true) }
  public var rowMultiple: Int { 2 }

  public func grouped(_ size: Int) -> (any LinearScheme)? { W4A8Group(groupSize: size) }

  /// The parts of a row that have a sum each, or nil where every element is kept. msModelSlim decides by the name.
  private func parts(_ module: String) -> Int? {
    func holds(_ words: [String]) -> Bool { words.contains { module.contains($0) } }
    if holds(["up_proj", "gate_proj", "q_proj", "k_proj", "v_proj", "w1", "w3"]) { return 1 }
    return holds(["down_proj", "o_proj", "w2"]) ? 16 : nil
  }

  public func problem(_ weight: LinearWeight) -> String? {
    if weight.rows % 2 != 0 { return "\(weight.rows) rows, and two are packed into one" }
    guard let parts = parts(weight.module), weight.columns % parts != 0 else { return nil }
    return "\(weight.columns) columns are no multiple of \(parts)"
  }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    [
      SchemeTensor("weight", .int8, [weight.rows / 2, weight.columns]),
      SchemeTensor("weight_scale", .float32, [weight.rows, 1]),
      SchemeTensor("weight_offset", .float32, [weight.rows, 1]),
      SchemeTensor("scale_bias", .float32, [weight.rows, parts(weight.module) ?? weight.columns]),
    ]
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let result = try WeightCodes.whole(rows, bits: 4)
    return [
      Bytes(result.packedRows(rows.weight.columns)), WeightCodes.bytes(result.scales),
      WeightCodes.bytes(result.offsets),
      WeightCodes.bytes(scaleBias(rows, result)),
    ]
  }

  /// Sums are in the order in which msModelSlim's come out.
  private func scaleBias(_ rows: WeightRows, _ result: WeightCodes) -> [Float] {
    let columns = rows.weight.columns
    func product(_ index: Int) -> Float {
      Float(Int8(bitPattern: result.codes[index])) * result.scales[index / columns]
    }
    guard let parts = parts(rows.weight.module) else { return result.codes.indices.map(product) }
    let width = columns / parts
    return (0..<rows.range.count * parts).map { part in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { products in
        for index in 0..<width { products[index] = product(part * width + index) }
        return 8 * CascadeSum.sum(UnsafeBufferPointer(products))
      }
    }
  }
}
