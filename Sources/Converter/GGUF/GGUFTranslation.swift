internal import Checkpoints
internal import Tensors

/// What becomes of a whole model on its way into a GGUF file or out of one: names, metadata and the files beside the
/// weights.
struct GGUFTranslation {
  let tensors: [MapEngine.Item]
  /// The metadata of the output, for the tensors that are written in the end.
  let metadata: (_ tensors: [(name: TensorName, shape: [Int], type: String)]) throws -> [TensorName: String]
  /// Files that belong beside the weights; nil for a file.
  let files: [ModelFiles.File]?
  /// Whether a tensor must be float32, by its new name.
  let isExact: (_ name: TensorName, _ shape: [Int]) -> Bool
  /// Tensors that have no place in the output.
  let droppedNames: [TensorName]

  /// The translation that a conversion calls for: of a model's folder into a GGUF file, and of a GGUF file into a
  /// folder of safetensors, where the family is known. Nil for all others, whose names stay.
  init?(
    _ store: TensorStore, from source: any CheckpointFormat, _ input: String, to format: any WritableCheckpointFormat,
    _ options: ConversionOptions
  ) throws {
    guard options.maps.isEmpty, !options.keepsNames else { return nil }
    if format is GGUF, !(source is GGUF), let export = try GGUFExport(input) {
      tensors = try export.tensors(store)
      metadata = { try export.metadata($0) }
      files = nil
      isExact = GGUFExport.isExact
    } else if options.shardByteCount != nil, source is GGUF, GGUFImport(store)?.knowsNoName != true {
      guard let back = GGUFImport(store) else {
        let name = store.metadata["general.architecture"].map(GGUFText.string(ofText:)) ?? ""
        throw BessemerError(
          .unsupportedModel, "the architecture \(quoted(name)) is not known; pass --keep-names to leave all names",
          file: input)
      }
      tensors = try inFile(input) { try back.tensors() }
      metadata = { _ in back.metadata }
      files = try inFile(input) {
        try back.files().map { ModelFiles.File(name: $0.name, path: input, bytes: Bytes($0.bytes)) }
      }
      isExact = { _, _ in false }
    } else {
      return nil
    }
    let used = Set(tensors.flatMap { $0.expression.sources.map(\.name) })
    droppedNames = store.entries.map(\.name).filter { !used.contains($0) && $0.string != GGUFFamily.ropeName }
  }
}
