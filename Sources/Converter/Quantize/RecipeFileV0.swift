import Quantization
import Tensors
import YAML

/// Reads `spec` of msModelSlim's recipes of the older form, `apiversion: modelslim_v0`.
///
/// Such a recipe is carried out over the whole model in stages: outliers are suppressed by what the float model shows,
/// then the cache's ranges are found, then all layers are calibrated at once. Source: msModelSlim 26.1, llm_ptq.
struct RecipeFileV0 {
  private(set) var steps: [QuantizationRecipe.Step] = []
  private(set) var dataset: String?
  /// The data that outliers are looked for in, where it is another.
  private(set) var partByteCount: Int?
  /// How many layers with the widest inputs keep their values, see ``WidestInputs``.
  private(set) var keptCount = 0
  /// What the package says the model is.
  private(set) var modelTypeV0 = ""
  /// The family of the model decides how outliers are suppressed.
  private let modelType: String
  private let isCompatible: Bool

  /// - Parameter isCompatible: whether every outlier lies beyond three deviations, as in msModelSlim whatever is said.
  init(_ spec: YAML, modelType: String, isCompatible: Bool) throws {
    (self.modelType, self.isCompatible) = (modelType, isCompatible)
    let fields = Fields(try spec.asMapping())
    try fields.expect([
      "anti_cfg", "anti_dataset", "anti_params", "batch_size", "calib_cfg", "calib_dataset", "calib_params",
      "calib_save_params",
    ])
    dataset = try fields.text("calib_dataset")
    if let save = fields["calib_save_params"] {
      let save = Fields(try save.asMapping())
      try save.expect(["part_file_size"])
      partByteCount = try save["part_file_size"]?.asInt().multipliedReportingOverflow(by: 1 << 30).partialValue
    }
    try Fields(fields["anti_params"]?.asMapping() ?? []).expect([])
    if let anti = fields["anti_cfg"] { try addSmoothing(Fields(anti.asMapping())) }
    guard let calibration = fields["calib_cfg"] else { throw spec.mismatch("\"calib_cfg\"") }
    try addLayers(
      Fields(calibration.asMapping()), calibration.line, Fields(fields["calib_params"]?.asMapping() ?? []))
  }

  /// Families for which msModelSlim has rules of its own.
  private var isQwen3: Bool { modelType == "qwen3" || modelType == "qwen3_moe" }

  private mutating func addSmoothing(_ fields: Fields) throws {
    try fields.expect(["anti_method", "flex_config", "disable_anti_names"])
    let method = try fields.text("anti_method") ?? "m2"
    let algorithm: any SmoothingAlgorithm
    switch method {
    case "m4": algorithm = IterativeSmoothing(alpha: isQwen3 ? 0.5 : 0.9, usesMagnitudes: true)
    case "m6":
      let flex = Fields(try fields["flex_config"]?.asMapping() ?? [])
      try flex.expect(["alpha", "beta"])
      algorithm = FlexibleSmoothing(alpha: try flex.double("alpha"), beta: try flex.double("beta"), isV0: true)
    default: throw RecipeFile.unknown("the anti_method", method, fields["anti_method"]?.line ?? 0)
    }
    var smoothing = QuantizationRecipe.Smoothing(algorithm: .scales(algorithm))
    smoothing.v0 = QuantizationRecipe.SmoothingV0(
      shifts: method == "m4" && isQwen3,
      excludedReaders: Set(try fields["disable_anti_names"]?.asSequence().map { try $0.asString() } ?? []))
    smoothing.addsBias = method == "m4"
    // Where msModelSlim has no rules of its own, norms come first.
    smoothing.kinds = isQwen3 ? [.upDown, .outputValue, .normLinear] : [.normLinear, .outputValue, .upDown]
    if modelType == "qwen3_moe" {
      smoothing.kinds = [.outputValue, .normLinear]
      smoothing.selection.exclude = [try NamePattern("*.post_attention_layernorm")]
    }
    steps.append(.smooth(smoothing))
  }

  private mutating func addLayers(_ fields: Fields, _ line: Int, _ parameters: Fields) throws {
    try fields.expect([
      "w_bit", "a_bit", "act_method", "w_method", "disable_names", "pr", "mm_tensor", "w_sym", "is_dynamic", "pdmix",
      "use_kvcache_quant", "co_sparse", "is_lowbit", "use_sigma", "sigma_factor", "fraction",
    ])
    try parameters.expect(["disable_level", "mix_cfg"])
    if let level = parameters["disable_level"] {
      let text = try level.asString()
      guard text.hasPrefix("L"), let count = Int(text.dropFirst()), count >= 0 else {
        throw RecipeFile.unknown("the disable_level", text, level.line)
      }
      keptCount = count
    }
    for (key, expected) in [("w_sym", true), ("mm_tensor", false)] {
      if let value = fields[key], try value.asBool() != expected {
        throw RecipeFile.unknown("the value of", key, value.line)
      }
    }
    if let method = try fields.text("w_method"), method != "MinMax" {
      throw RecipeFile.unknown("the w_method", method, line)
    }
    if let share = try fields.number("pr"), share != 1 {
      throw RecipeFile.unknown("random rounding", "pr", line)
    }
    let input: InputRange
    switch try fields["act_method"]?.asInt() ?? 1 {
    case 1: input = .meanMinmax
    case 2: input = .histogram
    case let other: throw RecipeFile.unknown("the act_method", String(other), line)
    }
    if try fields["use_kvcache_quant"]?.asBool() == true {
      steps.append(.quantizeCache(QuantizationRecipe.Cache(isV0: true)))
    }
    if keptCount > 0, try isLowBit(fields) { throw RecipeFile.unknown("with is_lowbit", "disable_level", line) }
    let isMixed = try fields["pdmix"]?.asBool() ?? false
    let general = try scheme(fields, line, isMixed: isMixed)
    let rule = try outliers(fields, line)
    modelTypeV0 = general.descriptionType
    let disabled = try fields["disable_names"]?.asSequence().map { try NamePattern($0.asString()) } ?? []
    func add(_ scheme: any LinearScheme, _ include: [NamePattern]?, _ exclude: [NamePattern] = []) {
      var linear = QuantizationRecipe.Linear(scheme: scheme)
      linear.selection = QuantizationRecipe.Selection(include: include, exclude: disabled + exclude)
      (linear.input, linear.isV0) = (input, true)
      if let scheme = scheme as? EightBitsV0, scheme.kind == .sparse { linear.method = .sparse(rule) }
      steps.append(.quantize(linear))
    }
    // The first pattern that matches a layer counts.
    var taken: [NamePattern] = []
    for rule in try parameters["mix_cfg"]?.asMapping() ?? [] {
      let pattern = try NamePattern(rule.key)
      switch try rule.value.asString() {
      case "float": break
      case "w8a8": add(EightBitsV0(isMixed ? .mix : .w8a8), [pattern], taken)
      case "w8a8_dynamic": add(EightBitsV0(.dynamic), [pattern], taken)
      case "w8a16": add(EightBitsV0(.w8a16), [pattern], taken)
      case let other: throw RecipeFile.unknown("the type", other, rule.line)
      }
      taken.append(pattern)
    }
    add(general, nil, taken)
  }

  private func isLowBit(_ fields: Fields) throws -> Bool { try fields["is_lowbit"]?.asBool() == true }

  /// What counts as an outlier of a sparse layer.
  private func outliers(_ fields: Fields, _ line: Int) throws -> OutlierRule {
    if try isLowBit(fields), try fields["use_sigma"]?.asBool() == true {
      let factor = try fields.number("sigma_factor") ?? 3
      guard (3...4).contains(factor) else { throw RecipeFile.unknown("the sigma_factor", String(factor), line) }
      return .deviations(isCompatible ? 3 : factor)
    }
    let share = try fields.number("fraction") ?? 0.01
    guard share >= 0.01, share <= 0.1 else { throw RecipeFile.unknown("the fraction", String(share), line) }
    // As the decimal number that it is written as.
    let exact = Double(String(share)) ?? 0.01
    return try isLowBit(fields) ? .share(exact) : .shareOfAll(exact)
  }

  private func scheme(_ fields: Fields, _ line: Int, isMixed: Bool) throws -> any LinearScheme {
    let bits = (try fields["w_bit"]?.asInt() ?? 8, try fields["a_bit"]?.asInt() ?? 8)
    switch (bits, try fields["is_dynamic"]?.asBool() ?? false) {
    case ((8, 8), true) where !isMixed: return EightBitsV0(.dynamic)
    case ((8, 8), false): return EightBitsV0(isMixed ? .mix : .w8a8)
    case ((8, 16), false) where !isMixed: return EightBitsV0(.w8a16)
    case ((4, 8), false) where !isMixed:
      if try isLowBit(fields) {
        return EightBitsV0(.sparse, hasFloatInput: try fields["act_method"]?.asInt() == 2, hasFloatScales: true)
      }
      guard try fields["co_sparse"]?.asBool() == true else { fallthrough }
      return EightBitsV0(.sparse)
    default: throw RecipeFile.unknown("the combination", "w_bit \(bits.0), a_bit \(bits.1)", line)
    }
  }
}
