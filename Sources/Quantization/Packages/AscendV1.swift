public import Tensors

/// The package that vLLM-Ascend and MindIE load: Hugging Face's files, the tensors under their own names, and
/// `quant_model_description.json`, which says of each tensor how it is stored.
///
/// Source: msModelSlim 26.1, its saver `ascendv1`.
public struct AscendV1: Sendable {
  /// A tensor of the package.
  public struct Item: Sendable {
    public let name: TensorName
    public let dtype: DType
    public let shape: [Int]
    /// What the description says of it.
    public let type: String
  }

  public static let descriptionName = "quant_model_description.json"
  /// What the names of files with tensors start with.
  public static let stem = "quant_model_weights"
  /// Where the rotation of the residual stream is kept.
  public static let rotationName = "optional/quarot.safetensors"
  /// Scales and offsets of the cache of keys and values.
  public static let cache = "C8"
  /// Scales of operands of attention.
  public static let attention = "FAQuant"
  /// Tensors that keep their values.
  public static let float = "FLOAT"

  /// The types that name a model, each more telling than those before; others count as float.
  private static let priority = [
    "FLOAT", "W16A16S", "W8A16", "W8A8_DYNAMIC", "W8A8_MIX", "W8A8", "WFP8AFP8_DYNAMIC", "W8A8_MXFP8", "W4A8_MXFP",
    "W4A4_DYNAMIC", "W4A4_MXFP4", "W4A4_MXFP4_DUALSCALE", "W4A4_MXFP4_SVD",
  ]

  /// In the order of the description.
  public private(set) var items: [Item] = []
  /// Whether ``rotationName`` is in the package.
  public var isRotated = false
  /// The model's type as a recipe of `modelslim_v0` names it; the description has its older form then.
  public var modelTypeV0: String?
  private var groupSize = 0
  /// By module, how operands of attention are quantized.
  private var attentions: [(module: String, formats: [AttentionOperand: AttentionFormat])] = []
  private let style: PackageStyle

  public init(_ style: PackageStyle = .ascendV1) { self.style = style }

  /// What the model as a whole is said to be.
  private var modelType: String {
    if let modelTypeV0 { return modelTypeV0 }
    let types = Set(items.map(\.type))
    return AscendV1.priority.last { types.contains($0) || types.contains(style.typeName($0)) }.map(style.typeName)
      ?? AscendV1.float
  }

  /// The name of the description in this package; nil where config.json says it all.
  public var fileName: String? { style.descriptionName(modelType) }
  /// What the names of files with tensors start with.
  public var stem: String { style.stem(modelType) }

  /// Adds a tensor that keeps its values.
  public mutating func add(_ name: TensorName, _ dtype: DType, shape: [Int], type: String = AscendV1.float) {
    items.append(Item(name: name, dtype: dtype, shape: shape, type: type))
  }

  /// Adds the tensors of a quantized weight, and its bias, which becomes float32.
  public mutating func add(_ weight: LinearWeight, _ scheme: any LinearScheme, hasBias: Bool) {
    for tensor in scheme.tensors(weight) {
      items.append(
        Item(
          name: TensorName("\(weight.module).\(tensor.suffix)"), dtype: tensor.dtype, shape: tensor.shape,
          type: style.typeName(scheme.descriptionType)))
    }
    if hasBias {
      add(
        TensorName(weight.module + ".bias"), style.keepsBias || scheme.keepsBias ? weight.dtype : .float32,
        shape: [weight.rows], type: scheme.namesBias ? scheme.descriptionType : AscendV1.float)
    }
    groupSize = max(groupSize, scheme.groupSize)
  }

  /// Says how operands of attention are quantized; of two ways for one the last counts.
  public mutating func add(_ formats: [AttentionOperand: AttentionFormat], attention module: String) {
    if let place = attentions.firstIndex(where: { $0.module == module }) {
      attentions[place].formats.merge(formats) { $1 }
    } else {
      attentions.append((module, formats))
    }
  }

  /// The text of `quant_model_description.json`.
  public var description: [UInt8] {
    var json = JSONWriter()
    let types = Set(items.map(\.type))
    json.object { json in
      for item in items { json.member(item.name.string, item.type) }
      for (module, formats) in attentions {
        json.member(module + ".quant_type", AttentionFormat.description(formats))
      }
      if types.contains(AscendV1.attention) { json.member("fa_quant_type", "FAKQuant") }
      if types.contains(AscendV1.cache) {
        json.member("kv_cache_type", AscendV1.cache)
        json.member("kv_quant_type", AscendV1.cache)
      }
      if style != .mindIE { json.member("version", "1.0.0") }
      json.member("model_quant_type", modelType)
      guard modelTypeV0 == nil else { return }
      json.object("metadata") { _ in }
      json.member("group_size", groupSize)
      json.object("optional") { json in
        guard isRotated else { return }
        json.object("quarot") { json in
          json.object("rotation_map") { $0.member("global_rotation", AscendV1.rotationName) }
        }
      }
    }
    return json.utf8
  }
}
