internal import Tensors

/// vLLM-Ascend, its main branch of August 2026: `quantization/modelslim_config.py` and `quantization/methods`.
enum VLLMAscendConsumer: PackageConsumer {
  static let name = "vllm-ascend"

  /// What it has a scheme for, in linear layers and in experts; on chips before Ascend 950 if they have the numbers.
  private static let schemes: [String: (linear: Bool, experts: Bool, needsA5: Bool)] = [
    "W8A8": (true, false, false), "W8A8_DYNAMIC": (true, true, false), "W8A8_MIX": (true, false, false),
    "W8A16": (true, false, false), "W4A8_DYNAMIC": (false, true, false), "W4A16": (false, true, false),
    "W4A4_DYNAMIC": (true, false, false), "W4A4_FLATQUANT_DYNAMIC": (true, false, false),
    "W4A4_MXFP4_FLATQUANT": (true, false, true), "W8A8_MXFP8": (true, true, true), "W4A8_MXFP": (true, true, true),
    "W4A4_MXFP4": (true, true, true), "W4A16_MXFP4": (false, true, true), "W8A8FP8_DYNAMIC": (true, true, true),
  ]
  /// What it has on 310P, in linear layers and in experts.
  private static let schemes310P: [String: (linear: Bool, experts: Bool)] = [
    "W8A8": (true, false), "W8A8_DYNAMIC": (true, true), "W8A8S": (true, false), "W8A8SC": (true, false),
  ]

  /// Whether it has a scheme for linear layers or for experts on some chip.
  static func hasScheme(_ type: String, isExpert: Bool) -> Bool {
    let type = type == "WFP8AFP8_DYNAMIC" ? "W8A8FP8_DYNAMIC" : type
    return schemes[type].map { isExpert ? $0.experts : $0.linear } ?? false
  }

  static func check(
    _ path: String, _ options: CheckOptions
  ) throws -> (problems: [PackageCheck.Problem], tensors: Int) {
    var folder = try CheckedFolder(path)
    if folder.description == nil, folder.config.map(hasForeignSettings) ?? false {
      return try CompressedTensorsConsumer.check(path, options)
    }
    folder.checkFiles()
    if folder.config.map(hasForeignSettings) ?? false {
      folder.add(
        "quantization-config", "config.json", "has a quantization_config, which chooses another loader",
        "remove the member from config.json")
    }
    if !folder.descriptions.isEmpty, !folder.descriptions.contains("quant_model_description.json") {
      folder.add(
        "description-name", folder.descriptions[0], "is not found under this name",
        "name it quant_model_description.json")
    }
    checkChip(&folder, options.chip)
    for layer in folder.layers { checkScheme(layer, &folder, options.chip) }
    checkExperts(&folder)
    folder.checkFused()
    folder.checkSharding(options.tensorParallel)
    return (folder.problems, folder.tensors.count)
  }

  static func hasForeignSettings(_ config: JSON) -> Bool {
    [config, config["text_config"]].compactMap { $0 }.contains { holder in
      holder.kind == .object
        && ["quantization_config", "compression_config"].contains { holder[$0].map { !$0.isNull } ?? false }
    }
  }

  private static func checkChip(_ folder: inout CheckedFolder, _ chip: Chip?) {
    switch chip {
    case .ascend310, .ascend310B, .ascend910:
      folder.add("chip", "config.json", "vLLM-Ascend does not run on this chip", "use 310P, A2, A3 or Ascend 950")
    case .ascend310P where folder.isBFloat16 == true:
      folder.add("chip-type", "config.json", "is of bfloat16, which 310P has not", "convert the model to float16 first")
    default: break
    }
  }

  private static func checkScheme(_ layer: CheckedFolder.Layer, _ folder: inout CheckedFolder, _ chip: Chip?) {
    let isExpert = layer.module.contains(".experts.")
    let (place, kind) = (layer.module, isExpert ? "experts" : "linear layers")
    if layer.module.hasSuffix(".gate") || layer.module.hasSuffix(".shared_expert_gate") {
      folder.add("router-quantized", place, "is a router, which is loaded as float", "keep it: --keep '*.gate'")
    }
    if layer.type == "WFP8AFP8_DYNAMIC" {
      folder.add(
        "scheme-name", place, "is of WFP8AFP8_DYNAMIC, which is called W8A8FP8_DYNAMIC here",
        "quantize with --for vllm-ascend, or rename the type in the description")
    } else if chip == .ascend310P {
      guard let scheme = schemes310P[layer.type], isExpert ? scheme.experts : scheme.linear else {
        return folder.add(
          "scheme-chip", place, "\(layer.type) is not there for \(kind) on 310P", "use w8a8 or w8a8-dynamic")
      }
    } else if ["W8A8S", "W8A8SC"].contains(layer.type) {
      folder.add("scheme-chip", place, "\(layer.type) is there on 310P alone", "use w8a8")
    } else if let scheme = schemes[layer.type] {
      if !(isExpert ? scheme.experts : scheme.linear) {
        folder.add(
          "scheme-kind", place, "\(layer.type) is not there for \(kind)",
          isExpert ? "use w8a8-dynamic or w4a8-dynamic" : "use w8a8-dynamic, or w4a8-dynamic for experts alone")
      }
      if scheme.needsA5, let chip, chip != .a5 {
        folder.add("scheme-chip", place, "\(layer.type) needs Ascend 950", "use w8a8-dynamic")
      }
    } else {
      folder.add("scheme-unknown", place, "\(layer.type) is no scheme of vLLM-Ascend", "use w8a8-dynamic")
    }
    if layer.type == "W4A8_DYNAMIC", folder.groupSize > 0 {
      folder.add("scheme-group", place, "W4A8_DYNAMIC is loaded per channel alone", "quantize without groups")
    }
    let isLong = chip == .ascend310P ? true : folder.isBFloat16.map { !$0 }
    folder.checkLayout(layer, usesLongScales: isLong)
    if let shape = folder.tensors[TensorName(layer.module + ".weight")]?.shape, shape.contains(where: { $0 > 65535 }) {
      folder.add("size", place, "\(shape) is beyond the 65535 of the kernel", "keep the layer: --keep '\(place)'")
    }
  }

  /// Experts are asked for one by one.
  private static func checkExperts(_ folder: inout CheckedFolder) {
    for name in folder.tensors.keys.sorted()
    where name.string.hasSuffix(".experts.gate_up_proj") || name.string.hasSuffix(".experts.down_proj") {
      folder.add(
        "experts-stacked", name.string, "is a stack of all experts, and each is asked for by its own name",
        "quantize the model again; experts are then written one by one")
    }
  }
}
