internal import Tensors

/// What several devices that share each layer cannot divide.
extension CheckedFolder {
  mutating func checkSharding(_ devices: Int) {
    guard devices > 1 else { return }
    func divides(_ key: String) {
      guard let count = integer(key), count > 0, count % devices != 0 else { return }
      add("tp-divides", key, "\(count) is no multiple of \(devices) devices", "use another --tp")
    }
    divides("num_attention_heads")
    divides("intermediate_size")
    if layers.contains(where: { $0.module.contains(".experts.") }) { divides("moe_intermediate_size") }
    if let heads = integer("num_key_value_heads"), heads > 0, heads % devices != 0, devices % heads != 0 {
      add("tp-divides", "num_key_value_heads", "\(heads) and \(devices) devices do not divide", "use another --tp")
    }
    let group = groupSize
    for layer in layers {
      guard let weight = tensors[TensorName(layer.module + ".weight")], weight.shape.count == 2 else { continue }
      let last = layer.module.split(separator: ".").last.map(String.init) ?? ""
      let cutsInputs = ["o_proj", "down_proj", "w2", "out_proj"].contains(last)
      let axis = cutsInputs ? 1 : 0
      if weight.shape[axis] % devices != 0 {
        add(
          "tp-divides", layer.module + ".weight", "\(weight.shape) is not cut into \(devices) along axis \(axis)",
          "use another --tp, or keep the layer")
      } else if cutsInputs, group > 0,
        let scale = tensors[TensorName(layer.module + ".weight_scale")], scale.shape.count == 2, scale.shape[1] > 1,
        scale.shape[1] % devices != 0
      {
        add(
          "tp-groups", layer.module + ".weight_scale", "\(scale.shape[1]) groups are not cut into \(devices)",
          "use smaller groups, or another --tp")
      }
      if let bias = tensors[TensorName(layer.module + ".scale_bias")], bias.shape.count == 2, bias.shape[1] == 16,
        16 % devices != 0
      {
        add("tp-scale-bias", layer.module + ".scale_bias", "has 16 parts for \(devices) devices", "use --tp 16 or less")
      }
    }
  }
}
