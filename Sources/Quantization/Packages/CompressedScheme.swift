public import Tensors

/// A scheme as compressed-tensors stores it: `weight` of int8 or float8, or `weight_packed` in words of 32 bits with
/// its `weight_shape`, and scales in the model's type.
///
/// Source: compressed-tensors 0.20.
public struct CompressedScheme: LinearScheme {
  public let base: any LinearScheme
  /// The name of the layout: `int-quantized`.
  public let format: String
  public let bits: Int

  /// Nil for a scheme that the format does not store.
  init?(_ scheme: any LinearScheme) {
    switch (scheme, scheme.grid) {
    case (is W8A8Dynamic, .whole(8, true)): (format, bits) = ("int-quantized", 8)
    case (is W8A16, .whole(8, true)): (format, bits) = ("pack-quantized", 8)
    case (is W4A16, .whole(4, true)): (format, bits) = ("pack-quantized", 4)
    case (is FP8, _): (format, bits) = ("float-quantized", 8)
    default: return nil
    }
    base = scheme
  }

  public var name: String { base.name }
  public var descriptionType: String { base.descriptionType }
  public var grid: WeightGrid { base.grid }
  public var groupSize: Int { base.groupSize }
  public var quantizesInputs: Bool { base.quantizesInputs }

  private func wordCount(_ columns: Int) -> Int { (columns * bits + 31) / 32 }

  public func tensors(_ weight: LinearWeight) -> [SchemeTensor] {
    let groups = groupSize == 0 ? 1 : weight.columns / groupSize
    let scale = SchemeTensor("weight_scale", weight.dtype, [weight.rows, groups])
    switch format {
    case "pack-quantized":
      return [
        SchemeTensor("weight_packed", .int32, [weight.rows, wordCount(weight.columns)]), scale,
        SchemeTensor("weight_shape", .int64, [2]),
      ]
    case "int-quantized": return [SchemeTensor("weight", .int8, [weight.rows, weight.columns]), scale]
    default: return [SchemeTensor("weight", .float8e4m3fn, [weight.rows, weight.columns]), scale]
    }
  }

  public func quantize(_ rows: WeightRows) throws -> [Bytes] {
    let weight = rows.weight
    let result =
      try grid == .float8 ? WeightCodes.e4m3(rows) : WeightCodes.whole(rows, bits: bits, group: groupSize)
    let scales = try Tensor(weight.dtype, shape: [result.scales.count], doubles: result.scales.map { Double($0) }).bytes
    guard format == "pack-quantized" else { return [Bytes(result.codes), scales] }
    let shape = rows.range.lowerBound == 0 ? [Int64(weight.rows), Int64(weight.columns)] : []
    return [Bytes(packed(result.codes, weight.columns)), scales, shape.withUnsafeBytes { Bytes($0) }]
  }

  /// Codes from zero on side by side in words, the first in the lowest bits.
  private func packed(_ codes: [UInt8], _ columns: Int) -> [UInt8] {
    let (perByte, width) = (8 / bits, 4 * wordCount(columns))
    let (half, mask) = (UInt8(1 << (bits - 1)), UInt8(truncatingIfNeeded: 1 << bits - 1))
    var bytes = [UInt8](repeating: 0, count: codes.count / columns * width)
    for index in codes.indices {
      let (row, column) = (index / columns, index % columns)
      let shift = UInt8(column % perByte * bits)
      bytes[row * width + column / perByte] |= (codes[index] &+ half & mask) << shift
    }
    return bytes
  }

  /// What `config_groups` says of it, for these modules.
  public func settings(_ targets: [String], _ json: inout JSONWriter) {
    let type = grid == .float8 ? "float" : "int"
    func side(_ json: inout JSONWriter, _ strategy: String, isDynamic: Bool, group: Int?) {
      json.member("num_bits", bits)
      json.member("type", type)
      json.member("symmetric", true)
      json.member("strategy", strategy)
      if let group { json.member("group_size", group) } else { json.null("group_size") }
      json.member("dynamic", isDynamic)
    }
    json.array("targets", targets)
    json.object("weights") {
      side(&$0, groupSize == 0 ? "channel" : "group", isDynamic: false, group: groupSize == 0 ? nil : groupSize)
    }
    if quantizesInputs {
      json.object("input_activations") { side(&$0, "token", isDynamic: true, group: nil) }
    } else {
      json.null("input_activations")
    }
    json.null("output_activations")
    json.member("format", format)
  }
}
