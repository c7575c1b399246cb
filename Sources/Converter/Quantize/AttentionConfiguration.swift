import Quantization
import YAML

/// The step `fa3_quant` of a recipe: how the operands of attention are quantized.
struct AttentionConfiguration {
  let step: QuantizationRecipe.Attention

  /// Throws ``ErrorCode/unsupportedFeature`` for a way to quantize that is not known.
  init(_ fields: Fields) throws {
    try fields.expect(["qconfig", "details", "include", "exclude"])
    var formats: [AttentionOperand: AttentionFormat] = [:]
    switch (fields["qconfig"], fields["details"]) {
    case (_?, let details?): throw RecipeFile.unknown("beside qconfig", "details", details.line)
    case (let config?, nil):
      let format = try AttentionConfiguration.format(config)
      for operand in AttentionOperand.allCases { formats[operand] = format }
    case (nil, let details?):
      for member in try details.asMapping() {
        guard let operand = AttentionOperand(rawValue: member.key) else {
          throw RecipeFile.unknown("the operand of attention", member.key, member.line)
        }
        formats[operand] = try AttentionConfiguration.format(member.value)
      }
    case (nil, nil): for operand in AttentionOperand.allCases { formats[operand] = .int8 }
    }
    step = QuantizationRecipe.Attention(selection: try fields.selection(), formats: formats)
  }

  private static func format(_ config: YAML) throws -> AttentionFormat {
    let fields = Fields(try config.asMapping())
    let (dtype, scope) = (try fields.text("dtype") ?? "float", try fields.text("scope") ?? "per_tensor")
    let known: AttentionFormat? =
      switch (dtype, scope) {
      case ("int8", "per_head"): .int8
      case ("fp8_e4m3", "per_head"): .float8
      case ("int8", "per_token"): .int8Dynamic
      case ("fp8_e4m3", "per_token"): .float8Dynamic
      case ("mxfp4", "per_block"): .mxfp4Dynamic
      default: nil
      }
    guard let known, try fields["symmetric"]?.asBool() ?? true, try fields.text("method") ?? "minmax" == "minmax" else {
      throw RecipeFile.unknown("attention in", "\(dtype) \(scope)", config.line)
    }
    return known
  }
}
