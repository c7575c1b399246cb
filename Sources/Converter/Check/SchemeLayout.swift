internal import Quantization
internal import Tensors

/// What the tensors of a quantized layer have to look like.
extension CheckedFolder {
  /// Notes tensors of other types or shapes than the layer's type stands for. Scales of results may be floats, or a
  /// float's bits in 64, or nothing is known of that.
  mutating func checkLayout(_ layer: Layer, usesLongScales: Bool?) {
    guard let weight = tensors[TensorName(layer.module + ".weight")], weight.shape.count == 2,
      weight.shape.allSatisfy({ $0 > 0 })
    else { return }
    let group = groupSize
    func tensor(_ suffix: String) -> TensorStore.Entry? { tensors[TensorName("\(layer.module).\(suffix)")] }
    var (rows, columns) = (weight.shape[0], weight.shape[1])
    switch layer.type {
    case "W4A8_DYNAMIC": rows *= 2
    case "W4A4_MXFP4", "W4A8_MXFP": columns *= 2
    case "W4A16":
      if tensor("weight_scale")?.shape.last == 1 { columns *= 2 } else { rows *= 2 }
    default: break
    }
    func expect(_ suffix: String, _ dtypes: [DType], _ shapes: [[Int]]) {
      guard let entry = tensor(suffix) else {
        return add(
          "part-missing", "\(layer.module).\(suffix)", "is what \(layer.type) needs, and is not there",
          "write the package again")
      }
      guard !dtypes.contains(entry.dtype) || !shapes.contains(entry.shape) else { return }
      let wanted = dtypes.map(\.longName).joined(separator: " or ")
      let shape = shapes.map { "\($0)" }.joined(separator: " or ")
      add(
        "part-layout", "\(layer.module).\(suffix)", "is \(entry.type), \(layer.type) has \(wanted) \(shape)",
        "write the package again")
    }
    let scales = [[rows, 1]] + (group > 0 && columns % group == 0 ? [[rows, columns / group]] : [])
    // Loaders hold scales of int8 in the model's type, which recipes of `modelslim_v0` leave them in.
    let types: [DType] =
      switch layer.type {
      case "W8A8_DYNAMIC", "W8A8_MIX", "W8A16": [.float32, .bfloat16, .float16]
      case "W4A8_DYNAMIC": [.float32, .uint64]
      default: [.float32]
      }
    func scaled(_ dtype: DType) {
      expect("weight", [dtype], [weight.shape])
      expect("weight_scale", types, scales)
    }
    switch layer.type {
    case "W8A8", "W8A8_MIX":
      expect("weight", [.int8], [weight.shape])
      expect("input_scale", [.float32, .bfloat16, .float16], [[1]])
      expect("input_offset", [.float32, .bfloat16, .float16, .int8], [[1]])
      expect("quant_bias", [.int32], [[rows]])
      expect(
        "deq_scale", usesLongScales.map { [$0 ? .int64 : .float32] } ?? [.float32, .int64], [[rows]])
      if layer.type == "W8A8_MIX" { expect("weight_scale", types, scales) }
    case "W8A8_DYNAMIC", "W8A16", "W4A8_DYNAMIC", "W4A4_DYNAMIC", "W4A16": scaled(.int8)
    case "WFP8AFP8_DYNAMIC", "W8A8FP8_DYNAMIC": scaled(.float8e4m3fn)
    case "W8A8_MXFP8":
      expect("weight", [.float8e4m3fn], [weight.shape])
      expect("weight_scale", [.uint8], [[rows, (columns + 31) / 32]])
    case "W4A4_MXFP4", "W4A8_MXFP":
      expect("weight", [.uint8], [weight.shape])
      expect("weight_scale", [.uint8], [[rows, (columns + 31) / 32]])
    default: break
    }
  }
}
