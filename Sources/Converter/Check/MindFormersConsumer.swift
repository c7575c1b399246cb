internal import Tensors

/// mindformers 2.1: `parallel_core/inference/quantization/golden_stick`.
enum MindFormersConsumer: PackageConsumer {
  static let name = "mindformers"

  private static let families: Set<String> = [
    "deepseek_v3", "glm4", "glm4_moe", "chatglm", "llama", "qwen2", "qwen3", "qwen3_moe", "telechat", "telechat2",
    "telechat3",
  ]

  static func check(
    _ path: String, _ options: CheckOptions
  ) throws -> (problems: [PackageCheck.Problem], tensors: Int) {
    var folder = try CheckedFolder(path)
    folder.checkFiles()
    let all = folder.names.filter {
      $0.hasPrefix("quantization_description") || folder.descriptions.contains($0)
    }
    if all.count > 1 {
      folder.add("descriptions-two", all.joined(separator: ", "), "speak of one folder, which is refused", "keep one")
    }
    if folder.config != nil, !families.contains(folder.modelType) {
      folder.add(
        "family", "config.json", "\(quoted(folder.modelType)) is no family that loads quantized weights",
        "use vLLM-Ascend")
    }
    for layer in folder.layers {
      let isExpert = layer.module.contains(".experts.")
      switch layer.type {
      case "W8A8", "W8A8_DYNAMIC": break
      case "W4A8_DYNAMIC":
        if !isExpert {
          folder.add("scheme-kind", layer.module, "W4A8_DYNAMIC is there for experts alone", "use w8a8-dynamic")
        }
        if folder.groupSize <= 0 {
          folder.add("scheme-group", layer.module, "W4A8_DYNAMIC needs groups", "use w4a8-dynamic-g256")
        }
      default:
        folder.add(
          "scheme-unknown", layer.module, "\(layer.type) is none of W8A8, W8A8_DYNAMIC and W4A8_DYNAMIC",
          "use w8a8-dynamic")
      }
      folder.checkLayout(layer, usesLongScales: false)
    }
    if let chip = options.chip, !chip.isA2OrLater {
      folder.add("chip", "config.json", "quantized inference needs A2 or later", "use another chip")
    }
    folder.checkFused()
    folder.checkSharding(options.tensorParallel)
    return (folder.problems, folder.tensors.count)
  }
}
