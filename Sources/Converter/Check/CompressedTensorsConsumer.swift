internal import Quantization
internal import Tensors

/// vLLM and vLLM-Ascend on checkpoints of llm-compressor: `compressed_tensors`.
enum CompressedTensorsConsumer: PackageConsumer {
  static let name = "compressed-tensors"

  static func check(
    _ path: String, _ options: CheckOptions
  ) throws -> (problems: [PackageCheck.Problem], tensors: Int) {
    var folder = try CheckedFolder(path)
    guard let config = folder.config, let settings = ForeignCheckpoint.settings(config) else {
      folder.add(
        "settings-missing", "config.json", "has no quantization_config", "write with --format compressed-tensors")
      return (folder.problems, folder.tensors.count)
    }
    if !folder.descriptions.isEmpty {
      folder.add(
        "description-beside", folder.descriptions[0], "makes vLLM-Ascend take the folder for another kind",
        "remove it from the folder")
    }
    checkWeights(&folder, config)
    checkSettings(&folder, settings, options.chip)
    folder.checkSharding(options.tensorParallel)
    return (folder.problems, folder.tensors.count)
  }

  /// Whether every weight can be decoded.
  private static func checkWeights(_ folder: inout CheckedFolder, _ config: JSON) {
    do {
      var store = TensorStore()
      for name in folder.tensors.keys.sorted() { if let entry = folder.tensors[name] { try store.append(entry) } }
      _ = try ForeignCheckpoint.decoded(store, config)
    } catch let error as BessemerError {
      folder.add("weights", folder.path, "\(error)", "write the checkpoint again")
    } catch {}
  }

  private static func checkSettings(_ folder: inout CheckedFolder, _ settings: JSON, _ chip: Chip?) {
    guard let groups = settings["config_groups"], groups.kind == .object, groups.count > 0 else {
      return folder.add("groups-missing", "config.json", "quantization_config has no config_groups", "write it again")
    }
    for (key, group) in groups.members {
      let place = "config_groups.\(key)"
      guard let weights = group["weights"], weights.kind == .object else {
        folder.add("group-weights", place, "says nothing of weights", "write it again")
        continue
      }
      let (bits, type) = ((try? weights["num_bits"]?.asInt()) ?? 8, weights["type"]?.string ?? "int")
      let inputs = group["input_activations"].flatMap { $0.kind == .object ? $0 : nil }
      if weights["symmetric"].flatMap({ try? $0.asBool() }) == false {
        folder.add("asymmetric", place, "has offsets, which vLLM-Ascend does not load", "quantize symmetrically")
      }
      switch (type, bits, inputs != nil) {
      case ("int", 8, true): break
      case ("int", 4, _):
        let hasExperts = folder.tensors.keys.contains { $0.string.contains(".experts.") }
        if !hasExperts {
          folder.add("scheme-kind", place, "four bits are loaded for experts alone", "use eight bits with inputs")
        }
      case ("float", 8, _):
        if let chip, chip != .a5 {
          folder.add("scheme-chip", place, "float8 needs Ascend 950", "use int8")
        }
      default:
        folder.add(
          "scheme-unknown", place, "\(type) of \(bits) bits \(inputs == nil ? "without" : "with") inputs is not loaded",
          "use int8 with dynamic inputs")
      }
    }
  }
}
