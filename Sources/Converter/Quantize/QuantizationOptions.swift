import Quantization
import Tensors

/// How a model is quantized.
public struct QuantizationOptions: Sendable {
  /// The scheme of every projection and expert, or `float` to keep their values; nil with a recipe.
  public var scheme: String?
  /// Schemes of layers whose names match, later ones over earlier ones.
  public var overrides: [(pattern: NamePattern, scheme: String)] = []
  /// Layers that keep their values.
  public var keep: [NamePattern] = []
  /// How codes are found, see ``WeightMethod``.
  public var method = "minmax"
  /// A file of msModelSlim's that says all of the above.
  public var recipe: String?
  /// How channels are scaled first: `iterative`, `flexible`, `smoothquant` and perhaps `:ALPHA`, `awq` or `awq-scales`.
  public var smoothing: String?
  /// What is rotated first: `all`, the residual stream and heads, or `heads`.
  public var rotates: String?
  /// Channels that are rotated together; nil for all.
  public var rotationBlock: Int?
  /// `c8` or `c8-asymmetric` for eight bits.
  public var cache: String?
  /// Whether the size of keys is moved to the queries first.
  public var smoothsKeys = false
  /// How the range of inputs is found: `minmax`, `mean`, `histogram` or `percentile:SHARE`.
  public var inputRange = "minmax"
  public var isInputSymmetric = false
  /// Text, questions or tokens to run through the model, see ``CalibrationData``.
  public var calibration: String?
  /// The SHA-256 of the file, if it has to be that one.
  public var calibrationDigest: String?
  /// The most sequences of it, and tokens of each.
  public var calibrationLimit = 128
  public var calibrationLength = 2048
  /// A file of what an earlier run found out from calibration data, instead of data.
  public var statistics: String?
  /// Where such a file goes.
  public var savesStatistics: String?
  /// Whether what msModelSlim does wrong is done so too.
  public var isCompatible = false
  /// The kind of package: `ascendv1`, `compressed-tensors`, `mindformers`, `mindie` or `vllm-ascend`.
  public var format = "ascendv1"
  /// The most bytes of tensors in a file.
  public var partByteCount = 4 << 30
  public var threads = 1
  public var overwrite = false

  public init(scheme: String?) { self.scheme = scheme }
}

extension QuantizationRecipe {
  /// The steps that options ask for, of which those of `assignment` have the scheme said there.
  ///
  /// Throws ``ErrorCode/usage`` for a word that names nothing.
  init(_ options: QuantizationOptions, _ assignment: [(scheme: String, modules: Set<String>)]? = nil) throws {
    steps = []
    guard let scheme = assignment == nil ? options.scheme : "float" else {
      throw BessemerError(.usage, "no scheme is given; name one, such as w8a8-dynamic, or a recipe with --recipe")
    }
    switch options.rotates {
    case nil: break
    case "all": steps.append(.rotate(Rotation(blockSize: options.rotationBlock)))
    case "heads": steps.append(.rotate(Rotation(headsOnly: true)))
    case let other?: throw BessemerError(.usage, "no rotation \(quoted(other)); expected all or heads")
    }
    guard let method = WeightMethod(options.method) else {
      let names = WeightMethod.names.joined(separator: ", ")
      throw BessemerError(.usage, "no method \(quoted(options.method)); expected one of \(names)")
    }
    let general = scheme == "float" ? nil : try QuantizationRecipe.scheme(scheme)
    if let smoothing = options.smoothing {
      let general = try Smoothing(smoothing, scheme: general, method)
      if case .awq = general.algorithm, let assignment {
        // The search rounds weights as they are going to be.
        for (word, modules) in assignment {
          var own = try Smoothing(smoothing, scheme: QuantizationRecipe.scheme(word), method)
          own.readers = modules
          steps.append(.smooth(own))
        }
      } else {
        steps.append(.smooth(general))
      }
    }
    if options.smoothsKeys { steps.append(.smoothKeys(Selection(), power: 1)) }
    func linear(_ scheme: String, _ selection: Selection) throws -> Step {
      var step = Linear(scheme: try QuantizationRecipe.scheme(scheme), method: method)
      step.selection = selection
      step.takesAll = selection.include != nil || selection.modules != nil
      step.input = try InputRange(options.inputRange)
      step.isInputSymmetric = options.isInputSymmetric
      return .quantize(step)
    }
    if let assignment {
      for (word, modules) in assignment { steps.append(try linear(word, Selection(modules: modules))) }
    } else {
      for (pattern, scheme) in options.overrides.reversed() {
        steps.append(try linear(scheme, Selection(include: [pattern], exclude: options.keep)))
      }
      if general != nil { steps.append(try linear(scheme, Selection(exclude: options.keep))) }
    }
    switch options.cache {
    case nil: break
    case "c8": steps.append(.quantizeCache(Cache()))
    case "c8-asymmetric": steps.append(.quantizeCache(Cache(isSymmetric: false)))
    case let other?: throw BessemerError(.usage, "no cache \(quoted(other)); expected c8 or c8-asymmetric")
    }
  }

  static func scheme(_ word: String) throws -> any LinearScheme {
    if let scheme = LinearSchemes.scheme(word) { return scheme }
    let names = LinearSchemes.all.map { $0.name }.joined(separator: ", ")
    throw BessemerError(.usage, "no scheme \(quoted(word)); expected one of \(names)")
  }
}

extension QuantizationRecipe.Smoothing {
  /// `iterative`, `flexible:0.5`, ... as a person writes it.
  ///
  /// AWQ rounds by the scheme, `w8a16` where there is none; a method that needs data is not searched with, and finds
  /// ranges itself.
  init(_ text: String, scheme: (any LinearScheme)?, _ method: WeightMethod) throws {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    let alpha = parts.count > 1 ? Double(parts[1]) : nil
    guard parts.count < 2 || alpha.map({ (0...1).contains($0) }) == true else {
      throw BessemerError(.usage, "the exponent in \(quoted(text)) is no number from 0 to 1")
    }
    switch parts.first {
    case "iterative": self.init(algorithm: .scales(IterativeSmoothing(alpha: alpha ?? 0.9)))
    case "smoothquant":
      self.init(kinds: [.normLinear], algorithm: .scales(IterativeSmoothing(alpha: alpha ?? 0.5)))
    case "flexible":
      self.init(algorithm: .scales(FlexibleSmoothing(alpha: alpha, beta: alpha.map { 1 - $0 })))
    case "awq" where alpha == nil, "awq-scales" where alpha == nil:
      let awq = AWQ(cuts: parts.first == "awq" && scheme != nil && !method.needsData)
      self.init(algorithm: .awq(awq, scheme ?? W8A16(), method.needsData ? .minmax : method))
    default:
      throw BessemerError(
        .usage,
        "no smoothing \(quoted(text)); expected awq, awq-scales, flexible, iterative or smoothquant, and perhaps :ALPHA"
      )
    }
  }
}

extension InputRange {
  /// As a person writes it.
  init(_ text: String) throws {
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    let number = parts.count > 1 ? Double(parts[1]) : nil
    switch (parts.first, parts.count, number) {
    case ("minmax", 1, _): self = .minmax
    case ("mean", 1, _): self = .meanMinmax
    case ("histogram", 1, _): self = .histogram
    case ("percentile", 2, let share?) where share > 0 && share <= 1: self = .percentile(1 - share)
    default:
      throw BessemerError(
        .usage, "no range \(quoted(text)); expected minmax, mean, histogram or percentile:SHARE, such as 0.999")
    }
  }
}
