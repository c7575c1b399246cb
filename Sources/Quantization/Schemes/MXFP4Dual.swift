public import Tensors

/// ``MXFP4`` of what is left after a division: long blocks of inputs have a float32 scale, which makes their largest
/// element 6, and within them blocks of 32 a power of two. Weights and inputs both.
public struct MXFP4Dual: LinearScheme {
  /// Inputs that share a float32 scale.
  public let blockSize: Int

  public init(blockSize: Int = 512) { self.blockSize = blockSize }

  public var name: String { "mxfp4-dual" }
  public var groupSize: Int { 32 }
  public var descriptionType: String { "W4A4_MXFP4_DUALSCALE" }
  public var grid: WeightGrid { .mxfp4 }
  public var namesBias: Bool { true }

  public func problem(_ weight: LinearWeight) -> String? { MXFP4().problem(weight) }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    let blocks = (weight.columns + blockSize - 1) / blockSize
    return MXFP4().tensors(weight) + [SchemeTensor("weight_dual_scale", .float32, [weight.rows, blocks, 1])]
  }

  /// All in float32, whatever the weight's type. A block of zeros has the scale 0.
  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let columns = rows.weight.columns
    var (values, scales): ([Float], [Float]) = ([], [])
    values.reserveCapacity(rows.elementCount)
    for row in 0..<rows.range.count {
      let own = try rows.values(row)
      for start in stride(from: 0, to: columns, by: blockSize) {
        let block = own[start..<min(start + blockSize, columns)]
        let scale = block.reduce(Float(0)) { max($0, abs($1)) } / 6
        scales.append(scale)
        values += block.map { scale == 0 ? 0 : $0 / scale }
      }
    }
    let wide = try LinearWeight(module: rows.weight.module, .float32, shape: [rows.weight.rows, columns])
    let divided = WeightRows(wide, rows.range, bytes: WeightCodes.bytes(values), method: rows.method)
    return try MXFP4().quantize(divided) + [WeightCodes.bytes(scales)]
  }
}
