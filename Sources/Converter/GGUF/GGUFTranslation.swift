internal import Checkpoints
internal import Tensors

/// What becomes of a whole model on its way into a GGUF file or out of one: names, metadata and the files beside the
/// weights.
struct GGUFTranslation {
  let tensors: [MapEngine.Item]
  /// The metadata of the output, for the tensors that are written in the end.
  let metadata: (_ tensors: [(name: TensorName, shape: [Int], type: String)]) throws -> [TensorName: String]
  /// Files that belong beside the weights.
  let files: [(name: String, bytes: [UInt8])]
  /// Whether a tensor must be float32, by its new name.
  let isExact: (_ name: TensorName, _ shape: [Int]) -> Bool

  /// The translation that a conversion calls for: of a model's folder into a GGUF file, and of a GGUF file into a
  /// folder of safetensors, where the family is known. Nil for all others, whose names stay.
  init?(_ store: TensorStore, from source: any CheckpointFormat, _ input: String, toFolder: Bool, isGGUF: Bool) throws {
    if isGGUF, !(source is GGUF), let export = try GGUFExport(input) {
      tensors = try export.tensors(store)
      metadata = { try export.metadata($0) }
      files = []
      isExact = GGUFExport.isExact
    } else if toFolder, source is GGUF {
      guard let back = GGUFImport(store) else {
        let name = store.metadata["general.architecture"].map(GGUFText.string(ofText:)) ?? ""
        throw BessemerError(
          .unsupportedModel,
          "the architecture \(quoted(name)) is not known; write a .safetensors file, whose names stay as they are",
          file: input)
      }
      tensors = try inFile(input) { try back.tensors() }
      metadata = { _ in back.metadata }
      files = try inFile(input) { try back.files() }
      isExact = { _, _ in false }
    } else {
      return nil
    }
  }
}
