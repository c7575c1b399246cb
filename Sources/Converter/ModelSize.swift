internal import IR
internal import Tensors

/// What a model's weights take.
public struct ModelSize: Sendable {
  /// Bytes of all tensors.
  public let byteCount: Int
  /// Numbers that the model has learned; scales and what else stands for them are not counted.
  public let parameterCount: Int

  public var bitsPerWeight: Double { 8 * Double(byteCount) / Double(max(parameterCount, 1)) }

  /// The tensors that quantization adds.
  fileprivate static let added = [
    ".weight_scale", ".weight_offset", ".scale_bias", ".input_scale", ".input_offset", ".deq_scale", ".quant_bias",
    ".kv_cache_scale", ".kv_cache_offset",
  ]
}

extension LoadedModel {
  public var size: ModelSize {
    let learned = weights.entries.filter { entry in
      !ModelSize.added.contains { entry.name.string.contains($0) }
    }
    return ModelSize(
      byteCount: weights.entries.reduce(0) { $0 + $1.storedByteCount },
      parameterCount: learned.reduce(0) { $0 + $1.shape.reduce(1, *) })
  }

  /// Whether some weights are stored in few bits.
  public var isQuantized: Bool {
    let names = Set(
      [
        QuantizedWeight.name, QuantizedMixtureOfExperts.name, Ascend.QuantBatchMatmulV3.name,
        Ascend.WeightQuantBatchMatmulV2.name,
      ])
    // HiFloat8 has no operator of its own.
    return sourceOperators.counts.keys.contains(where: names.contains)
      || usedWeights.contains { $0.dtype.isFloat && $0.dtype.bits < 16 }
  }
}
