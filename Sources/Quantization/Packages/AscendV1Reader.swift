public import IR
public import Tensors

/// A package in the AscendV1 format, read: which weights are stored in few bits, and the tensors in the types that
/// their bytes stand for.
///
/// Source: msModelSlim 26.1, its savers `ascendv1` and the older ones of MindIE.
public struct AscendV1Reader: Sendable {
  /// What `quant_model_description.json` says of each tensor, and of the model.
  private let types: [TensorName: String]

  /// Types of other savers and releases that mean the same.
  private static let spellings = ["W8A8FP8_DYNAMIC": "WFP8AFP8_DYNAMIC", "W8A8S": "W8A8"]

  /// What the names end with under which the description says how an attention is quantized.
  private static let attention = ".quant_type"

  /// Weights that are widened where they are read, and need nothing else.
  private static let hifloat8 = "WHIF8A16"
  /// Weights that are what they are.
  private static let floats = [AscendV1.float, hifloat8, "W16A16S"]

  /// Whether a file of this name is a description: `quant_model_description.json`, or with a type before its ending.
  public static func isDescription(_ name: String) -> Bool {
    name == AscendV1.descriptionName || name.hasPrefix("quant_model_description_") && name.hasSuffix(".json")
  }

  public init(types: [TensorName: String]) { self.types = types }

  public init(description: JSON) throws {
    var types: [TensorName: String] = [:]
    for (key, value) in try description.asObject() {
      if let type = value.string { types[TensorName(String(key))] = type }
    }
    self.types = types
  }

  /// The schemes of all quantized weights of the store.
  ///
  /// Throws ``ErrorCode/unsupportedFeature`` with every weight whose type is none that is run, and for attention in
  /// few bits.
  public func schemes(_ store: TensorStore) throws -> [TensorName: QuantizedScheme] {
    if let name = types.keys.filter({ $0.string.hasSuffix(AscendV1Reader.attention) }).min(), let type = types[name] {
      throw BessemerError(
        .unsupportedFeature,
        "the attention of \(quoted(String(name.string.dropLast(AscendV1Reader.attention.count)))) is quantized "
          + "(\(type)), which does not run here")
    }
    var schemes: [TensorName: QuantizedScheme] = [:]
    var problems: [String] = []
    for entry in store.entries where entry.name.string.hasSuffix(".weight") {
      guard let type = types[entry.name], !AscendV1Reader.floats.contains(type) else { continue }
      if let scheme = QuantizedScheme(rawValue: AscendV1Reader.spellings[type] ?? type) {
        schemes[entry.name] = scheme
      } else {
        problems.append("\(quoted(entry.name.string)) is \(quoted(type))")
      }
    }
    guard let first = problems.first else { return schemes }
    let known = QuantizedScheme.allCases.map(\.rawValue).joined(separator: ", ")
    throw BessemerError(
      .unsupportedFeature, "\(first), and \(problems.count - 1) more are of types that do not run; known: \(known)",
      details: problems)
  }

  /// What the names of scales and offsets end with that are float32 in other packages.
  private static let scales = [
    ".input_offset", ".input_scale", ".kv_cache_offset", ".kv_cache_scale", ".weight_offset", ".weight_scale",
  ]

  /// The store with codes and scales in their own types, which its container lacks: pairs of int4, float4, powers of
  /// two, and of `deq_scale` in 64 bits the two halves as floats.
  public func retyped(_ store: TensorStore, _ schemes: [TensorName: QuantizedScheme]) throws -> TensorStore {
    var result = TensorStore()
    result.metadata = store.metadata
    result.reserveCapacity(store.entries.count)
    for entry in store.entries {
      let name = entry.name.string
      let end = name.lastIndex(of: ".") ?? name.startIndex
      let scheme = schemes[TensorName(name[..<end] + ".weight")]
      // Recipes of `modelslim_v0` leave scales in the model's type.
      if entry.dtype == .bfloat16 || entry.dtype == .float16,
        AscendV1Reader.scales.contains(String(name[end...])), types[entry.name] != AscendV1.float
      {
        try result.append(
          TensorStore.Entry(entry.name, .float32, shape: entry.shape, file: entry.file) {
            try entry.tensor().cast(to: .float32).bytes
          })
        continue
      }
      let scales = store[TensorName(name[..<end] + ".weight_scale")]
      let isHiF8 = types[entry.name] == AscendV1Reader.hifloat8 && entry.dtype == .uint8
      let found =
        isHiF8
        ? TensorType(.hifloat8, shape: entry.shape)
        : scheme.flatMap { scheme in
          AscendV1Reader.type(of: entry, String(name[end...]), scheme, rows: scales?.shape.first)
        }
      guard let type = found,
        type.shape.flatMap({ Tensor.byteCount(type.dtype, shape: $0) }) == entry.byteCount
      else {
        try result.append(entry)
        continue
      }
      try result.append(
        TensorStore.Entry(entry.name, type.dtype, shape: type.shape ?? [], file: entry.file) {
          try entry.tensor().bytes
        })
    }
    return result
  }

  /// The type that the bytes of a tensor stand for; nil where it is the stored one.
  private static func type(
    of entry: TensorStore.Entry, _ suffix: String, _ scheme: QuantizedScheme, rows outputs: Int?
  ) -> TensorType? {
    let isByte = entry.dtype == .int8 || entry.dtype == .uint8
    switch suffix {
    case ".weight" where isByte && entry.shape.count == 2:
      let (rows, columns) = (entry.shape[0], entry.shape[1])
      switch scheme.codes {
      case .int4:
        // As many rows as outputs: two inputs share a byte.
        guard scheme.keepsInputs, rows == outputs else { return TensorType(.int4, shape: [rows, columns, 2]) }
        let (wide, overflow) = columns.multipliedReportingOverflow(by: 2)
        return overflow ? nil : TensorType(.int4, shape: [rows, wide])
      case .float4e2m1:
        let (wide, overflow) = columns.multipliedReportingOverflow(by: 2)
        return overflow ? nil : TensorType(.float4e2m1, shape: [rows, wide])
      case .float8e4m3fn: return TensorType(.float8e4m3fn, shape: entry.shape)
      default: return nil
      }
    case ".weight_scale" where isByte && scheme.isBlocked: return TensorType(.float8e8m0, shape: entry.shape)
    case ".deq_scale" where entry.dtype == .int64: return TensorType(.float32, shape: entry.shape + [2])
    default: return nil
    }
  }
}
