import Quantization
import Tensors

/// What msModelSlim adds to config.json, for MindIE: names of schemes for parts of DeepSeek-V3, the same whatever the
/// parts have, where any layer has four bits. Source: `ascendv1_save_postprocess` of msModelSlim 26.1.
struct OriginalSettings {
  private let latent: String

  /// Nil where it adds nothing.
  init?(_ parts: [QuantizedPart], _ recipe: QuantizationRecipe, modelType: String) {
    guard modelType == "deepseek_v3", parts.contains(where: { $0.scheme is W4A8Dynamic }) else { return nil }
    let hasRanges = recipe.steps.contains { step in
      guard case .quantizeAttention(let attention) = step else { return false }
      return attention.formats.values.contains { $0.needsRange }
    }
    latent = hasRanges ? "w8a8" : "w8a8_dynamic"
  }

  func write(_ json: inout JSONWriter) {
    json.member("mtp_quantize", "w8a8_dynamic")
    json.member("quantize", "w8a8_dynamic")
    json.member("moe_quantize", "w4a8_dynamic")
    json.member("mla_quantize", latent)
  }
}
