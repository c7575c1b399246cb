public import Tensors

/// Encodings of GGUF files as schemes: matrices in blocks, as `llama-quantize` stores them with one encoding for all.
public enum BlockQuantization {
  /// The encoding that a scheme's word names; nil for any other scheme.
  public static func type(_ scheme: String) -> BlockType? {
    BlockType(rawValue: scheme.lowercased()).flatMap { BlockType.writable.contains($0) ? $0 : nil }
  }

  /// The format that a plan of encodings says.
  static let format = "gguf"

  /// Whether a plan is one of a GGUF file.
  public static func makes(_ plan: QuantizationPlan) -> Bool { plan.options.format == format }

  /// The conversion of a model's folder, or of a GGUF file, into a GGUF file as a plan says.
  ///
  /// Throws ``ErrorCode/plan`` when it is for another model, or does not name each matrix once.
  public static func conversion(
    _ model: String, to output: String, _ plan: QuantizationPlan, _ quantization: QuantizationOptions
  ) throws -> Conversion {
    let tensors = try BlockTensors(model)
    try plan.check(tensors.store, tensors.matrices.map(\.name.string), "matrix")
    var options = ConversionOptions()
    options.format = format
    for unit in plan.units where unit.scheme != QuantizationPlan.float {
      guard let type = type(unit.scheme) else {
        throw BessemerError(.plan, "\(quoted(unit.scheme)) of \(quoted(unit.layers[0])) is no encoding of GGUF files")
      }
      for name in unit.layers { options.types.names[TensorName(name)] = .blocks(type) }
    }
    options.overwrite = quantization.overwrite
    options.resources.threads = quantization.threads
    return try Conversion(model, to: output, options: options)
  }

  /// The conversion of a model's folder, or of a GGUF file, into a GGUF file. The output's matrix gets six bits where
  /// others get fewer, as it does there; patterns are for the names in the file.
  public static func conversion(
    _ model: String, to output: String, _ type: BlockType, _ quantization: QuantizationOptions
  )
    throws -> Conversion
  {
    var options = ConversionOptions()
    options.format = format
    for (pattern, scheme) in quantization.overrides { try options.types.add("\(pattern.text)=\(scheme)") }
    for pattern in quantization.keep { try options.types.add("\(pattern.text)=bfloat16") }
    if ![.q80, .q8k, .q6k].contains(type), let name = try head(model) { try options.types.add("\(name)=q6_k") }
    try options.types.add(type.rawValue)
    options.overwrite = quantization.overwrite
    options.resources.threads = quantization.threads
    return try Conversion(model, to: output, options: options)
  }

  /// The matrix that makes the output, if its rows are whole blocks of six bits.
  private static func head(_ model: String) throws -> String? {
    guard case .folder(let folder) = try ModelLocation(model),
      let config = try ModelFiles(folder: folder).json("config.json"),
      let width = config["hidden_size"].flatMap({ try? $0.asInt() }), width % BlockType.q6k.elementCount == 0
    else { return nil }
    let isTied = config["tie_word_embeddings"].flatMap { try? $0.asBool() } ?? false
    return isTied ? "token_embd.weight" : "output.weight"
  }
}
