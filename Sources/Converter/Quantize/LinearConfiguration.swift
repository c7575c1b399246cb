import Quantization
import Tensors
import YAML

/// The `qconfig` of a recipe: how inputs and weights of linear layers are stored.
struct LinearConfiguration {
  /// What is said of one side.
  struct Side {
    let dtype: String
    let scope: String
    let isSymmetric: Bool
    let method: String
    let options: Fields
    let line: Int

    init(dtype: String, scope: String, line: Int) {
      (self.dtype, self.scope, self.line) = (dtype, scope, line)
      (isSymmetric, method, options) = (true, "minmax", Fields([]))
    }

    init(_ value: YAML) throws {
      let fields = Fields(try value.asMapping())
      dtype = try fields.text("dtype") ?? "float"
      scope = try fields.text("scope") ?? "per_tensor"
      isSymmetric = try fields["symmetric"]?.asBool() ?? true
      method = try fields.text("method") ?? "minmax"
      options = Fields(try fields["ext"]?.asMapping() ?? [])
      line = value.line
    }
  }

  private let input: Side?
  private let weight: Side

  init(_ config: YAML) throws {
    let fields = Fields(try config.asMapping())
    guard let weight = fields["weight"] else { throw config.mismatch("\"weight\"") }
    self.weight = try Side(weight)
    input = try fields["act"].map { try Side($0) }.flatMap { $0.dtype == "float" ? nil : $0 }
  }

  /// A weight alone; of four bits with inputs of eight, as there is no other scheme of msModelSlim's.
  init(weight config: YAML) throws {
    weight = try Side(config)
    input = weight.dtype == "int4" ? Side(dtype: "int8", scope: "per_token", line: weight.line) : nil
  }

  /// Throws ``ErrorCode/unsupportedFeature`` for a combination that no scheme stores.
  func linear() throws -> QuantizationRecipe.Linear {
    var linear = QuantizationRecipe.Linear(scheme: try scheme())
    linear.method = try method()
    if let input, linear.scheme.needsInputGrid {
      linear.isInputSymmetric = input.isSymmetric && input.scope != "pd_mix"
      switch (input.method, try input.options.text("aggregation_type")) {
      case ("minmax", nil), ("minmax", "max"): linear.input = .minmax
      case ("minmax", "mean"): linear.input = .meanMinmax
      case ("histogram", _): linear.input = .histogram
      default: throw RecipeFile.unknown("the method", input.method, input.line)
      }
    }
    return linear
  }

  private func scheme() throws -> any LinearScheme {
    let group = weight.scope == "per_group" ? try weight.options["group_size"]?.asInt() ?? 128 : 0
    let known: (any LinearScheme)? =
      switch (input.map { "\($0.dtype) \($0.scope)" }, weight.dtype, weight.scope, weight.isSymmetric) {
      case ("int8 per_token", "int8", "per_channel", true), ("int8 per_token", "int8", "per_group", true):
        W8A8Dynamic(groupSize: group)
      case ("int8 per_tensor", "int8", "per_channel", true): W8A8()
      case ("int8 pd_mix", "int8", "per_channel", true): W8A8Mix()
      case (nil, "int8", "per_channel", let isSymmetric), (nil, "int8", "per_group", let isSymmetric):
        W8A16(groupSize: group, isSymmetric: isSymmetric)
      case ("int8 per_token", "int4", "per_channel", true): W4A8Dynamic()
      case ("int4 per_token", "int4", "per_channel", true), ("int4 per_token", "int4", "per_group", true):
        W4A4Dynamic(groupSize: group)
      case ("fp8_e4m3 per_token", "fp8_e4m3", "per_channel", true): FP8()
      case ("mxfp8 per_block", "mxfp8", "per_block", true): MXFP8()
      case ("mxfp4 per_block", "mxfp4", "per_block", true): MXFP4()
      case ("mxfp8 per_block", "mxfp4", "per_block", true): W4A8MX()
      case ("mxfp4 dual_scale", "mxfp4", "dual_scale", true): try dualScale()
      default: nil
      }
    guard let known else {
      let inputs = input.map { "inputs \($0.dtype) \($0.scope)" } ?? "inputs as they are"
      throw RecipeFile.unknown(
        "the combination", "\(inputs), weights \(weight.dtype) \(weight.scope)", weight.line)
    }
    return known
  }

  /// With the same long blocks on both sides.
  private func dualScale() throws -> MXFP4Dual {
    let sizes = try [weight, input ?? weight].map { try $0.options.count("dual_block_size", 1...1 << 20) }
    guard let size = sizes[0], size % 32 == 0, sizes[1] == size, weight.method == "dualscale" else {
      throw RecipeFile.unknown("with these blocks the scope", "dual_scale", weight.line)
    }
    return MXFP4Dual(blockSize: size)
  }

  private func method() throws -> WeightMethod {
    switch weight.method {
    case "minmax", "dualscale": return .minmax
    case "ssz": return .ssz(steps: try weight.options["step"]?.asInt() ?? 50)
    case "gptq":
      return .gptq(
        GPTQ(
          damping: try weight.options.number("percdamp") ?? 0.01,
          blockSize: try weight.options["block_size"]?.asInt() ?? 128))
    case "ceil_x":
      if try weight.options["enable_search"]?.asBool() == true { return .ceilX(divisor: nil) }
      return .ceilX(divisor: Double(try weight.options.number("x") ?? 7.25))
    case "autoround":
      var search = RoundingSearch()
      if let name = try weight.options.text("scale_dtype") {
        guard let type = DType(spelling: name), LinearWeight.dtypes.contains(type) else {
          throw RecipeFile.unknown("the scale_dtype", name, weight.line)
        }
        search.scaleType = type
      }
      return .autoround(search)
    case "fouroversix": return .fourOverSix
    case "mse_round": return .mseRound
    default: throw RecipeFile.unknown("the method", weight.method, weight.line)
    }
  }
}
