public import Tensors

/// Checkpoints that other programs quantized, with their weights as numbers again.
public enum ForeignCheckpoint {
  /// What config.json says of how the weights are stored; nil for a float model.
  public static func settings(_ config: JSON) -> JSON? {
    for holder in [config, config["text_config"]].compactMap({ $0 }) where holder.kind == .object {
      for key in ["quantization_config", "compression_config"] {
        if let settings = holder[key], !settings.isNull { return settings }
      }
    }
    return nil
  }

  /// The tensors with each quantized weight decoded where it is read, under the name `MODULE.weight`. A store whose
  /// configuration speaks of no quantization stays as it is.
  ///
  /// Throws ``ErrorCode/unsupportedFeature`` for a way of storing that is not known, ``ErrorCode/tensorLayout`` for
  /// tensors that do not fit together.
  public static func decoded(_ store: TensorStore, _ config: JSON) throws -> TensorStore {
    guard let settings = settings(config) else { return store }
    let formats = try formats(settings, config)
    var owners: [TensorName: (format: any ForeignFormat, module: String)] = [:]
    var parts: Set<TensorName> = []
    for entry in store.entries {
      for format in formats where entry.name.string.hasSuffix("." + format.suffix) {
        let module = String(entry.name.string.dropLast(format.suffix.count + 1))
        // A weight that was left out has no scales.
        guard format.companions.contains(where: { store[TensorName("\(module).\($0)")] != nil }) else { continue }
        owners[entry.name] = (format, module)
        for companion in format.companions { parts.insert(TensorName("\(module).\(companion)")) }
      }
    }
    var result = TensorStore()
    result.metadata = store.metadata
    for entry in store.entries where !parts.contains(entry.name) {
      guard let (format, module) = owners[entry.name] else {
        try result.append(entry)
        continue
      }
      let weight = try inFile(entry.file) { try format.weight(ForeignParts(module: module, store: store)) }
      try result.append(
        TensorStore.Entry(
          TensorName(module + ".weight"), weight.dtype, shape: [weight.rows, weight.columns], file: entry.file,
          lazy: DecodedWeight(weight)))
    }
    return result
  }

  private static func formats(_ settings: JSON, _ config: JSON) throws -> [any ForeignFormat] {
    let method = try settings.optional("quant_method")?.asString() ?? "compressed-tensors"
    switch method {
    case "awq": return [try AWQWeights(settings)]
    case "compressed-tensors": return try CompressedTensors.formats(settings)
    case "fp8": return [try FP8Blocks(settings, dtype(config))]
    case "gptq": return [try GPTQWeights(settings)]
    default:
      throw BessemerError(
        .unsupportedFeature,
        "weights quantized by \(quoted(method)) are not read; awq, compressed-tensors, fp8 and gptq are")
    }
  }

  /// The type that the model computes in.
  private static func dtype(_ config: JSON) throws -> DType {
    for holder in [config, config["text_config"]].compactMap({ $0 }) where holder.kind == .object {
      for key in ["dtype", "torch_dtype"] {
        if let word = holder[key]?.string, let dtype = DType(spelling: word), LinearWeight.dtypes.contains(dtype) {
          return dtype
        }
      }
    }
    return .bfloat16
  }
}
