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

  @Flag(help: "Write nothing and end with exit code 1 if a cast changes a value.")
  var lossless = false

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
    options.isLossless = lossless
    options.writing.writesChecksum = crc
    options.writing.strategy = toStrategy
    options.reading = try reading.options(isKeyOptional: encMode != nil)
    options.writing.encryption = try encryption(options.reading)
    options.overwrite = common.overwrite
    let conversion = try Conversion(input, to: output, options: options)
    let progress = console.progress("convert", unit: .bytes)
    defer { progress.finish() }
    let items =
      dry.dryRun
      ? try conversion.measure { progress.update($0, of: $1) } : try conversion.write { progress.update($0, of: $1) }
    progress.finish()
    let listing = ConvertListing(conversion: conversion, items: items, isDryRun: dry.dryRun)
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
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

/// What `convert` says of its work.
struct ConvertListing {
  let conversion: Conversion
  let items: [Conversion.Item]
  let isDryRun: Bool

  /// One aligned line for each tensor that was cast, or for every tensor when verbose, and two lines to sum up.
  func writeText(_ console: Console) throws {
    var table = Table([("", .left), ("", .left), ("", .left), ("", .right), ("", .left)])
    for item in items where item.storedFrom != item.storedTo || console.isVerbose {
      table.add(name: item.name.string)
      table.add(item.storedFrom == item.storedTo ? item.storedTo : "\(item.storedFrom) -> \(item.storedTo)")
      table.add(shape: item.shape)
      table.add(ByteSize(item.byteCount).text)
      table.add(words(item))
    }
    try table.write(to: console.out)
    if conversion.droppedMetadataCount > 0 {
      console.note(
        "warning: \(conversion.targetFormat) files keep no metadata; "
          + "left out \(counted(conversion.droppedMetadataCount, "text"))")
    }
    if let name = conversion.droppedNames.first {
      let others = conversion.droppedNames.count > 1 ? " and \(conversion.droppedNames.count - 1) more" : ""
      console.note("warning: left out tensor \(quoted(name.string))\(others), which such a file has no place for")
    }
    let overflowed = items.reduce(0) { $0 + ($1.losses?.overflowed ?? 0) }
    if overflowed > 0 { console.note("warning: \(counted(overflowed, "value")) became infinite") }
    try console.out.line(
      "\(isDryRun ? "would write" : "wrote") \(escaped(conversion.output, limit: 240)): \(conversion.targetFormat), "
        + "\(counted(items.count, "tensor")), \(ByteSize(conversion.byteCount).text)")
    let cast = items.filter { $0.storedFrom != $0.storedTo }
    let lossy = cast.filter { $0.losses?.isLossy ?? false }
    try console.out.line(
      "\(ByteSize(conversion.sourceByteCount).text) of \(conversion.sourceFormat) in; \(grouped(cast.count)) cast, "
        + "\(grouped(lossy.count)) of them with changed values, \(grouped(items.count - cast.count)) unchanged")
  }

  /// `3 of 8 changed, 1 overflowed, 1 to zero, 2 NaN, error at most 0.5 ulp, 0.12 in the mean`
  private func words(_ item: Conversion.Item) -> String {
    if item.storedTo != item.to.rawValue, item.storedTo != item.storedFrom { return "encoded in blocks" }
    guard let losses = item.losses else {
      return item.storedTo == item.storedFrom ? "unchanged" : "decoded exactly"
    }
    guard losses.isLossy || losses.nanCount > 0 else { return "exact" }
    var parts: [String] = []
    if losses.isLossy { parts.append("\(grouped(losses.changed)) of \(grouped(losses.examined)) changed") }
    if losses.overflowed > 0 { parts.append("\(grouped(losses.overflowed)) overflowed") }
    if losses.underflowed > 0 { parts.append("\(grouped(losses.underflowed)) to zero") }
    if losses.nanCount > 0 { parts.append("\(grouped(losses.nanCount)) NaN") }
    if losses.largestError > 0 {
      parts.append(
        "error at most \(significant(losses.largestError, 3)) ulp, \(significant(losses.meanError, 3)) in the mean")
    }
    return parts.joined(separator: ", ")
  }

  func writeJSON(_ console: Console) throws {
    try console.json("convert") { json in
      json.member("input", conversion.input)
      json.member("output", conversion.output)
      json.member("dry_run", isDryRun)
      json.member("from", conversion.sourceFormat)
      json.member("to", conversion.targetFormat)
      json.array("tensors") { json in
        for item in items {
          json.object { json in
            json.member("name", item.name.string)
            json.member("from", item.storedFrom)
            json.member("to", item.storedTo)
            json.array("shape", item.shape)
            json.member("bytes", item.byteCount)
            guard let losses = item.losses else { return json.null("cast") }
            json.object("cast") { json in
              json.member("examined", losses.examined)
              json.member("changed", losses.changed)
              json.member("overflowed", losses.overflowed)
              json.member("underflowed", losses.underflowed)
              json.member("nan", losses.nanCount)
              json.member("largest_error_ulp", losses.largestError)
              json.member("mean_error_ulp", losses.meanError)
            }
          }
        }
      }
      json.member("metadata_dropped", conversion.droppedMetadataCount)
      json.member("bytes_in", conversion.sourceByteCount)
      json.member("bytes_out", conversion.byteCount)
      json.member("memory_peak_bytes", Machine.peakByteCount)
    }
  }
}
