/// The programs that a package is written for, where they want it differently.
public enum PackageStyle: String, Sendable, CaseIterable {
  /// What msModelSlim writes.
  case ascendV1 = "ascendv1"
  /// What llm-compressor writes: settings in config.json, and Hugging Face's names of files.
  case compressedTensors = "compressed-tensors"
  case mindFormers = "mindformers"
  case mindIE = "mindie"
  case vllmAscend = "vllm-ascend"

  /// The scheme as such a package stores it; nil where it cannot.
  public func stored(_ scheme: any LinearScheme) -> (any LinearScheme)? {
    switch self {
    case .ascendV1, .vllmAscend: return scheme
    case .compressedTensors: return CompressedScheme(scheme)
    case .mindFormers, .mindIE:
      if scheme is W8A8 { return W8A8(hasFloatScales: true) }
      if scheme is W8A8Mix { return self == .mindIE ? W8A8Mix(hasFloatScales: true) : nil }
      guard self == .mindFormers else { return scheme is HiF8 || scheme is W4A8Group ? nil : scheme }
      return scheme is W8A8Dynamic && scheme.groupSize == 0 || scheme is W4A8Group ? scheme : nil
    }
  }

  /// What the description calls the type of a scheme.
  func typeName(_ type: String) -> String {
    self == .vllmAscend && type == "WFP8AFP8_DYNAMIC" ? "W8A8FP8_DYNAMIC" : type
  }

  /// The description's name, for a model of this type; nil without one.
  func descriptionName(_ type: String) -> String? {
    switch self {
    case .compressedTensors: nil
    case .mindIE: "quant_model_description_\(type.lowercased()).json"
    default: AscendV1.descriptionName
    }
  }

  /// What names of files with tensors start with.
  func stem(_ type: String) -> String {
    switch self {
    case .compressedTensors: "model"
    case .mindIE: "quant_model_weight_\(type.lowercased())"
    default: AscendV1.stem
    }
  }

  /// Whether a bias keeps its type.
  public var keepsBias: Bool { self == .compressedTensors }
}
