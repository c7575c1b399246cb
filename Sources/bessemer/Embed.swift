import ArgumentParser
import Checkpoints
import Converter
import IR
import Runtime
import Tensors
import Tokenizers

/// Turns texts into vectors.
struct Embed: Command {
  static let configuration = configure(
    "embed", "Turn texts into vectors with an encoder.",
    discussion: "Pooling and normalization are as the model's sentence-transformers files say; without such files the "
      + "normalized mean over tokens.")

  @Argument(help: "A model's folder or a bundle.")
  var model: String

  @Option(name: [.short, .long], help: ArgumentHelp("A text; may be repeated.", valueName: "text"))
  var text: [String] = []

  @Option(name: [.customShort("f"), .long], help: ArgumentHelp("A file with one text a line.", valueName: "path"))
  var file: String?

  @Option(
    name: [.short, .long], help: ArgumentHelp("Write the vectors [texts, size] to this .npy file.", valueName: "file"))
  var output: String?

  @Option(help: ArgumentHelp("Texts to run at once.", valueName: "n"))
  var batch = 8

  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if text.isEmpty == (file == nil) { throw ValidationError("give texts with --text, or a file of them with --file") }
    if batch < 1 { throw ValidationError("--batch takes a positive number") }
  }

  func execute(_ console: Console) throws {
    let opened = try run.open(model, common)
    let tokenizer = try opened.tokenizer()
    let limit = try opened.maximumLength()
    let texts = try file.map { try TextFile.lines($0) } ?? text
    guard !texts.isEmpty else { throw BessemerError(.modelInput, "there is no text", file: file) }
    let sequences = try texts.map { try tokenizer.encode($0, addSpecialTokens: true, maxLength: limit) }
    let embedder = try Embedder(opened.session, pooling: opened.pooling())
    let padding = opened.loaded.config["pad_token_id"]?.int.map { Int32(clamping: $0) } ?? 0
    var vectors: [[Float]] = []
    let progress = console.progress("embed", total: texts.count, unit: .items)
    for start in stride(from: 0, to: sequences.count, by: batch) {
      vectors += try embedder.embed(Array(sequences[start..<min(start + batch, sequences.count)]), padding: padding)
      progress.update(vectors.count)
    }
    progress.finish()
    if let output {
      try NPY.write(
        Tensor(vectors.flatMap { $0 }, shape: [vectors.count, vectors[0].count]), to: output,
        overwrite: common.overwrite)
    }
    console.noteMemory(opened.session)
    if console.isJSON {
      try console.json("embed") { json in
        json.member("model", model)
        json.array("vectors") { json in
          for vector in vectors { json.array { json in for x in vector { json.value(Double(x)) } } }
        }
      }
    } else if output == nil {
      for vector in vectors { try console.out.line(vector.map { $0.description }.joined(separator: " ")) }
    } else {
      console.note("\(vectors.count) vectors of \(vectors[0].count) numbers")
    }
  }
}
