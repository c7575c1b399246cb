import ArgumentParser
import Checkpoints
import Converter
import Tensors

/// Writes a checkpoint in another format or type.
struct Convert: Command {
  static let configuration = configure(
    "convert", "Write a checkpoint in another format or element type.",
    discussion: """
      The format is told by the ending of OUT: .safetensors, .ckpt (MindSpore), .gguf, .npz (NumPy). Names stay as \
      they are, and metadata where the format keeps any. What a cast changed is counted and shown. A folder of rank_N \
      is merged with --strategy, and written with --to-strategy.
      """)

  @Argument(help: "A checkpoint: a file of any format, an index.json, or a folder of safetensors.")
  var input: String

  @Argument(help: "The file to write; a folder with --shard-size.")
  var output: String

  @Option(
    help: ArgumentHelp(
      "The format to write: safetensors, mindspore, mindspore-safetensors, mindspore-unified, gguf or npz.",
      valueName: "format"))
  var to: String?

  @Option(
    help: ArgumentHelp(
      "Change names and shapes by a built-in map or the rules of a YAML file; may be repeated.", valueName: "map"))
  var map: [String] = []

  @Flag(help: "Leave names and metadata as they are where a model's folder becomes a GGUF file, or a GGUF file one.")
  var keepNames = false

  @Flag(help: "End with an error if no rule of a map names a tensor.")
  var strict = false

  @Option(
    help: ArgumentHelp(
      "The type to cast floating-point tensors of 16 bits and more to, for GGUF also an encoding such as q4_k, or "
        + "PATTERN=TYPE; may be repeated.",
      valueName: "type"))
  var dtype: [String] = []

  @Option(
    help: ArgumentHelp("Write safetensors shards of at most this size, such as 5G, and an index.", valueName: "size"))
  var shardSize: ByteSize?

  @Flag(help: "Keep the finished shards of a run that ends early, and go on with those that such a run left.")
  var resume = false

  @Flag(help: "Write nothing and end with exit code 1 if a cast changes a value.")
  var lossless = false

  @Option(
    help: ArgumentHelp(
      "A file to write one JSON line to for each tensor: sources, steps, loss, digest.", valueName: "file"))
  var ledger: String?

  @Flag(help: "Give files for MindSpore a checksum.")
  var crc = false

  @Option(
    help: ArgumentHelp("Encrypt a MindSpore checkpoint: AES-GCM, AES-CBC or SM4-CBC.", valueName: "mode"))
  var encMode: String?

  @Option(
    help: ArgumentHelp(
      "The file of the key to encrypt with; without it BESSEMER_ENC_KEY, else the key of the input.", valueName: "file")
  )
  var encKeyFile: String?

  @Option(
    help: ArgumentHelp(
      "Write a folder of rank_N, each with what its device gets by this strategy file.", valueName: "file"))
  var toStrategy: String?

  @OptionGroup var reading: ReadOptionGroup
  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    var options = ConversionOptions()
    options.format = to
    for text in dtype { try options.types.add(text) }
    options.maps = map
    options.isStrict = strict
    options.keepsNames = keepNames
    options.shardByteCount = shardSize?.byteCount
    options.resumes = resume
    options.isLossless = lossless
    options.ledger = ledger
    options.writing.writesChecksum = crc
    options.writing.strategy = toStrategy
    options.reading = try reading.options(isKeyOptional: encMode != nil)
    options.writing.encryption = try encryption(options.reading)
    options.overwrite = common.overwrite
    options.resources = common.resources
    try ConvertListing.write(
      Conversion(input, to: output, options: options), isDryRun: dry.dryRun, measures: lossless, "convert", console)
  }
}

extension Convert {
  /// What the output is encrypted with.
  private func encryption(_ reading: ReadOptions) throws -> Encryption? {
    guard let encMode else {
      guard encKeyFile == nil else { throw BessemerError(.usage, "--enc-key-file needs --enc-mode") }
      return nil
    }
    guard let mode = CipherMode(word: encMode) else {
      throw BessemerError(.usage, "--enc-mode \(quoted(encMode)) is none of AES-GCM, AES-CBC and SM4-CBC")
    }
    guard let key = try CipherKey(file: encKeyFile, variable: "BESSEMER_ENC_KEY") ?? reading.key else {
      throw BessemerError(.key, "no key to encrypt with; pass --enc-key-file or --key-file, or set BESSEMER_ENC_KEY")
    }
    return try Encryption(mode, key)
  }
}
