import Quantization
import Tensors
import YAML

/// Reads msModelSlim's recipes as they are published, `apiversion: modelslim_v1`, and the older ones, see
/// ``RecipeFileV0``.
///
/// Steps become those of ``QuantizationRecipe``; what a recipe asks for that is not known here is an error that names
/// it.
struct RecipeFile {
  private(set) var steps: [QuantizationRecipe.Step] = []
  /// What the recipe calibrates with, as it stands there.
  private(set) var dataset: String?
  /// The most bytes of tensors in a file; nil for one file.
  private(set) var partByteCount: Int? = 4 << 30
  /// The kind of package.
  private(set) var style = PackageStyle.ascendV1
  /// How many layers keep their values, see ``WidestInputs``.
  private(set) var keptCount = 0
  /// What a recipe of `modelslim_v0` calls the model that it makes; nil for others.
  private(set) var modelTypeV0: String?
  /// How heads are rotated, which msModelSlim leaves to the model.
  private let heads: Rotation.Heads
  /// The line of a step that rotates while the model runs.
  private var onlineRotation: Int?
  /// Of the stage of `adapt_rotation` that looks at data.
  private var rotationSearch: (search: RotationSearch, layers: [String])?

  /// Throws ``ErrorCode/yaml`` for a file of another form, ``ErrorCode/unsupportedFeature`` for what is not known.
  ///
  /// - Parameters:
  ///   - modelType: the `model_type` of the model's config.json.
  ///   - isCompatible: whether what msModelSlim does wrong is done so too.
  init(_ path: String, modelType: String, isCompatible: Bool) throws {
    heads = ["deepseek_v3", "llama", "qwen3"].contains(modelType) ? .plain : .shifted
    let root = try YAML.read(path, aliases: true)
    try inFile(path) { try read(root, modelType, isCompatible) }
  }

  private mutating func read(_ root: YAML, _ modelType: String, _ isCompatible: Bool) throws {
    let fields = Fields(try root.asMapping())
    let version = try fields.text("apiversion") ?? ""
    guard let spec = fields["spec"] else { throw root.mismatch("\"spec\"") }
    if version == "modelslim_v0" {
      let old = try RecipeFileV0(spec, modelType: modelType, isCompatible: isCompatible)
      (steps, dataset, partByteCount, modelTypeV0) = (old.steps, old.dataset, old.partByteCount, old.modelTypeV0)
      keptCount = old.keptCount
      return
    }
    guard ["modelslim_v1", "multimodal_sd_modelslim_v1", "multimodal_vlm_modelslim_v1"].contains(version) else {
      throw BessemerError(
        .unsupportedFeature,
        "the apiversion \(quoted(version)) is not known; recipes of modelslim_v1 and modelslim_v0 are")
    }
    for member in try spec.asMapping() {
      switch member.key {
      case "process": for step in try member.value.asSequence() { try add(step) }
      case "prior":
        for stage in try member.value.asSequence() {
          guard let steps = Fields(try stage.asMapping())["process"] else { throw stage.mismatch("\"process\"") }
          for step in try steps.asSequence() { try add(step) }
        }
      case "dataset": dataset = try member.value.asString()
      case "save": for saver in try member.value.asSequence() { try save(saver) }
      // How it is run, and settings of models with pictures; the outcome is the same.
      case "runner", "default_text", "multimodal_sd_config", "multimodal_vlm_config": break
      default: throw RecipeFile.unknown("the key", member.key, member.line)
      }
    }
    if let line = onlineRotation {
      throw BessemerError(
        .unsupportedFeature,
        "line \(line): online_quarot is for the attention of FLUX, HunyuanVideo, Qwen-Image and Wan; the model is "
          + quoted(modelType))
    }
    guard isCompatible else { return }
    let family = modelType == "qwen2" && isForQwQ(fields) ? "qwq" : modelType
    for (index, step) in steps.enumerated() {
      switch step {
      case .smooth(var smoothing):
        try OriginalSubgraphs.limit(&smoothing, modelType: family)
        steps[index] = .smooth(smoothing)
      case .quantize(var linear):
        // In other families routers are no linear layers to msModelSlim.
        linear.takesRouters = modelType == "qwen3_moe"
        steps[index] = .quantize(linear)
      default: break
      }
    }
  }

  /// Whether the models that the recipe was tried on are QwQ's.
  private func isForQwQ(_ fields: Fields) -> Bool {
    let metadata = try? fields["metadata"].map { Fields(try $0.asMapping()) }
    let names = (try? metadata?["verified_model_types"]?.asSequence().map { try $0.asString() }) ?? []
    return names.contains { $0.hasPrefix("QwQ") }
  }

  private mutating func save(_ saver: YAML) throws {
    let fields = Fields(try saver.asMapping())
    let type = try fields.text("type") ?? ""
    switch type {
    case "ascendv1_saver": break
    case "mindie_format_saver": style = .mindIE
    default: throw RecipeFile.unknown("the saver", type, saver.line)
    }
    if let size = try fields["part_file_size"]?.asInt() { partByteCount = size == 0 ? nil : size << 30 }
  }

  private mutating func add(_ step: YAML) throws {
    let fields = Fields(try step.asMapping())
    let type = try fields.text("type") ?? ""
    switch type {
    case "group": for config in try fields["configs"]?.asSequence() ?? [] { try add(config) }
    case "linear_quant":
      try fields.expect(["qconfig", "include", "exclude"])
      guard let config = fields["qconfig"] else { throw step.mismatch("\"qconfig\"") }
      var linear = try LinearConfiguration(config).linear()
      linear.selection = try fields.selection()
      steps.append(.quantize(linear))
    case "smooth_quant":
      try fields.expect(["alpha", "symmetric", "include", "exclude"])
      try fields.requireSymmetric()
      let algorithm = IterativeSmoothing(alpha: try fields.double("alpha") ?? 0.5)
      var smoothing = try fields.smoothing(.scales(algorithm))
      smoothing.kinds = [.normLinear]
      smoothing.addsBias = true
      steps.append(.smooth(smoothing))
    case "iter_smooth":
      try fields.expect(["alpha", "scale_min", "symmetric", "enable_subgraph_type", "include", "exclude"])
      try fields.requireSymmetric()
      let algorithm = IterativeSmoothing(
        alpha: try fields.double("alpha") ?? 0.9, least: try fields.number("scale_min") ?? 1e-5)
      steps.append(.smooth(try fields.smoothing(.scales(algorithm))))
    case "flex_smooth_quant":
      try fields.expect(["alpha", "beta", "enable_subgraph_type", "include", "exclude"])
      let algorithm = FlexibleSmoothing(alpha: try fields.double("alpha"), beta: try fields.double("beta"))
      steps.append(.smooth(try fields.smoothing(.scales(algorithm))))
    case "flex_awq_ssz":
      try fields.expect(["alpha", "beta", "qconfig", "enable_subgraph_type", "include", "exclude"])
      guard let config = fields["qconfig"] else { throw step.mismatch("\"qconfig\"") }
      let linear = try LinearConfiguration(config).linear()
      let algorithm = FlexibleAWQ(alpha: try fields.double("alpha"), scheme: linear.scheme, method: linear.method)
      steps.append(.smooth(try fields.smoothing(.scales(algorithm))))
    case "awq":
      try fields.expect(["weight_qconfig", "n_grid", "enable_subgraph_type", "include", "exclude"])
      guard let config = fields["weight_qconfig"] else { throw step.mismatch("\"weight_qconfig\"") }
      let linear = try LinearConfiguration(weight: config).linear()
      let awq = AWQ(gridSize: try fields["n_grid"]?.asInt() ?? 20)
      steps.append(.smooth(try fields.smoothing(.awq(awq, linear.scheme, linear.method))))
    case "quarot":
      try fields.expect(["online", "block_size", "down_proj_online_layers", "max_tp_size", "export_extra_info"])
      try fields.refuseOnlineRotation(step.line)
      steps.append(.rotate(Rotation(blockSize: try fields.block(), heads: heads)))
    case "online_quarot":
      try fields.expect(["block_size", "include", "exclude"])
      onlineRotation = step.line
    case "adapt_rotation": try addAdaptedRotation(fields, step)
    case "kv_smooth":
      try fields.expect(["smooth_factor", "include", "exclude"])
      steps.append(.smoothKeys(try fields.selection(), power: try fields.number("smooth_factor") ?? 1))
    case "float_sparse":
      try fields.expect(["sparse_ratio", "include", "exclude"])
      let share = try fields.double("sparse_ratio") ?? 0.3
      guard (0...1).contains(share) else { throw RecipeFile.unknown("the share", String(share), step.line) }
      var linear = QuantizationRecipe.Linear(scheme: W16A16S())
      linear.selection = try fields.selection()
      steps += [.sparsify(linear.selection, share: share), .quantize(linear)]
    case "autoround_quant": try addRoundingSearch(fields)
    case "fa3_quant": steps.append(.quantizeAttention(try AttentionConfiguration(fields).step))
    case "dynamic_cache":
      try fields.expect(["qconfig", "include", "exclude"])
      guard let config = fields["qconfig"] else { throw step.mismatch("\"qconfig\"") }
      let qconfig = Fields(try config.asMapping())
      guard try qconfig.text("dtype") == "int8", try qconfig.text("scope") == "per_channel" else {
        throw RecipeFile.unknown("the cache", config.summary, config.line)
      }
      let isSymmetric = try qconfig["symmetric"]?.asBool() ?? true
      steps.append(
        .quantizeCache(QuantizationRecipe.Cache(selection: try fields.selection(), isSymmetric: isSymmetric)))
    default: throw RecipeFile.unknown("the processor", type, step.line)
    }
  }

  /// Layers whose rounding is searched for.
  private mutating func addRoundingSearch(_ fields: Fields) throws {
    try fields.expect(["iters", "enable_minmax_tuning", "enable_round_tuning", "strategies"])
    for strategy in try fields["strategies"]?.asSequence() ?? [] {
      let own = Fields(try strategy.asMapping())
      try own.expect(["qconfig", "include", "exclude"])
      guard let config = own["qconfig"] else { throw strategy.mismatch("\"qconfig\"") }
      var linear = try LinearConfiguration(config).linear()
      guard case .autoround(var search) = linear.method else {
        throw RecipeFile.unknown("beside autoround_quant", "another method", strategy.line)
      }
      search.steps = try fields.count("iters", 1...10_000) ?? 10
      search.movesRanges = try fields["enable_minmax_tuning"]?.asBool() ?? true
      search.movesWeights = try fields["enable_round_tuning"]?.asBool() ?? true
      linear.method = .autoround(search)
      linear.selection = try own.selection()
      steps.append(.quantize(linear))
    }
  }

  /// The two stages of a rotation that is searched for.
  private mutating func addAdaptedRotation(_ fields: Fields, _ step: YAML) throws {
    switch try fields["stage"]?.asInt() {
    case 1:
      try fields.expect(["stage", "steps", "quant_dtype", "layer_type", "block_size", "max_samples"])
      let dtype = try fields.text("quant_dtype") ?? "int4"
      guard let bits = ["int4": 4, "int8": 8][dtype] else { throw RecipeFile.unknown("the type", dtype, step.line) }
      let search = RotationSearch(
        steps: try fields.count("steps", 1...1000) ?? 20, bits: bits,
        rows: try fields.count("max_samples", 2...100_000) ?? 2048)
      rotationSearch = (search, try fields["layer_type"]?.asSequence().map { try $0.asString() } ?? ["up_proj"])
    case 2:
      try fields.expect(["stage", "online", "block_size", "down_proj_online_layers", "max_tp_size"])
      try fields.refuseOnlineRotation(step.line)
      let rotation = Rotation(blockSize: try fields.block(), heads: heads, search: rotationSearch)
      steps.append(.rotate(rotation))
    default: throw RecipeFile.unknown("the stage of", "adapt_rotation", step.line)
    }
  }

  static func unknown(_ what: String, _ name: String, _ line: Int) -> BessemerError {
    BessemerError(.unsupportedFeature, "line \(line): \(what) \(quoted(name)) is not known")
  }
}
