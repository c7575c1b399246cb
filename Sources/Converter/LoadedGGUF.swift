internal import Checkpoints
internal import Tensors

/// A GGUF file of a known family as a model: tensors under Hugging Face's names, blocks decoded where they are read,
/// and configuration and tokenizer from its metadata.
struct LoadedGGUF {
  private let path: String
  private let source: GGUFImport

  /// Nil for a file of another format. Throws ``ErrorCode/unsupportedModel`` for an architecture that is not known.
  init?(_ path: String) throws {
    guard try CheckpointFormats.format(at: path) is GGUF else { return nil }
    let store = try CheckpointFormats.read(path)
    guard let source = GGUFImport(store) else {
      let name = store.metadata["general.architecture"].map(GGUFText.string(ofText:)) ?? ""
      throw BessemerError(.unsupportedModel, "the architecture \(quoted(name)) is not known", file: path)
    }
    self.path = path
    self.source = source
  }

  func models(_ options: ModelOptions) throws -> [LoadedModel] {
    try inFile(path) {
      var files = ModelFiles()
      for file in try source.files() {
        files.append(ModelFiles.File(name: file.name, path: path, bytes: Bytes(file.bytes)))
      }
      guard let config = try files.json("config.json") else {
        throw BessemerError(.config, "the metadata gives no configuration")
      }
      var weights = TensorStore()
      for item in try source.tensors() {
        try weights.append(TensorStore.Entry(item.name, item.expression, file: path))
      }
      return try LoadedModel.models(path, in: nil, options, files: files, config: config, weights)
    }
  }
}
