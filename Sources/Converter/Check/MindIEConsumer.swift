internal import Tensors

/// MindIE LLM, and MindIE SD for pictures and videos, by what msModelSlim 26.1 writes for them.
enum MindIEConsumer: PackageConsumer {
  static let name = "mindie"

  private static let types: Set<String> = [
    "W8A8", "W8A8_DYNAMIC", "W8A8_MIX", "W8A16", "W4A16", "W4A8_DYNAMIC", "W8A8S", "W8A8SC", "W4A4_DYNAMIC",
    "W4A4_FLATQUANT_DYNAMIC", "W8A8_MXFP8", "W4A4_MXFP4", "W4A4_MXFP4_DUALSCALE", "W8A8_TIMESTEP", "NF4",
  ]
  private static let onA5: Set<String> = ["W8A8_MXFP8", "W4A4_MXFP4", "W4A4_MXFP4_DUALSCALE"]
  private static let on310P: Set<String> = ["W8A8", "W8A8_DYNAMIC", "W8A8S", "W8A8SC", "W8A16", "W4A16"]

  static func check(
    _ path: String, _ options: CheckOptions
  ) throws -> (problems: [PackageCheck.Problem], tensors: Int) {
    var folder = try CheckedFolder(path)
    folder.checkFiles()
    if folder.descriptions.count > 1 {
      folder.add(
        "descriptions-two", folder.descriptions.joined(separator: ", "), "speak of one folder", "keep one of them")
    }
    if !folder.names.contains(where: { $0.hasPrefix("quant_model_weight") && $0.hasSuffix(".safetensors") }) {
      folder.add(
        "weights-name", path, "holds no quant_model_weight*.safetensors", "write the package with --format mindie")
    }
    if let name = folder.descriptions.first, name != "quant_model_description.json" {
      let word = String(name.dropFirst("quant_model_description_".count).dropLast(5))
      let all = Set(folder.layers.map { $0.type.lowercased() })
      if !all.isEmpty, !all.contains(word) {
        folder.add(
          "description-name", name, "names a type that no layer has: \(all.sorted().joined(separator: ", "))",
          "write the package with --format mindie")
      }
    }
    for layer in folder.layers {
      if !types.contains(layer.type) {
        folder.add("scheme-unknown", layer.module, "\(layer.type) is not loaded by MindIE", "use w8a8, w8a16 or w4a16")
      } else if onA5.contains(layer.type), let chip = options.chip, chip != .a5 {
        folder.add("scheme-chip", layer.module, "\(layer.type) needs Ascend 950", "use w8a8-dynamic")
      } else if ["W8A8S", "W8A8SC"].contains(layer.type), let chip = options.chip, chip != .ascend310P {
        folder.add("scheme-chip", layer.module, "\(layer.type) is there on 310P alone", "use w8a8")
      } else if options.chip == .ascend310P, !on310P.contains(layer.type) {
        folder.add("scheme-chip", layer.module, "\(layer.type) is not there on 310P", "use w8a8")
      }
      folder.checkLayout(layer, usesLongScales: folder.isBFloat16.map { !$0 })
    }
    if options.chip == .ascend310P, folder.isBFloat16 == true {
      folder.add("chip-type", "config.json", "is of bfloat16, which 310P has not", "convert the model to float16 first")
    }
    folder.checkFused()
    folder.checkSharding(options.tensorParallel)
    return (folder.problems, folder.tensors.count)
  }
}
