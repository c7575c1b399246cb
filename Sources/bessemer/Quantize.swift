import ArgumentParser
import Converter
import Tensors

/// Quantizes the weights of a model.
struct Quantize: Command {
  static let configuration = configure(
    "quantize", "Quantize a model's linear layers into a package for Ascend.",
    discussion: """
      Every projection of attention and feed-forward gets the scheme; routers, heads, embeddings and norms keep their \
      values. The package is what vLLM-Ascend loads, and its bytes are those that msModelSlim would write.
      """)

  @Argument(help: "The model's folder.")
  var model: String

  @Argument(help: "Where the package goes.")
  var output: String

  @Argument(help: "The scheme, such as w8a8-dynamic, w4a8-dynamic or mxfp4; q8_0 or q4_k for a GGUF file.")
  var scheme: String?

  @Option(help: ArgumentHelp("A recipe of msModelSlim instead of a scheme.", valueName: "file"))
  var recipe: String?

  @Option(
    name: .customLong("scheme"),
    help: ArgumentHelp("Another scheme for layers whose names match; may be repeated.", valueName: "pattern=scheme"))
  var overrides: [String] = []

  @Option(help: ArgumentHelp("Layers that keep their values; may be repeated.", valueName: "pattern"))
  var keep: [String] = []

  @Option(
    help: ArgumentHelp(
      "How scales and codes are found: minmax, autoround, ceil-x, four-over-six, gptq, mse-round, percentile, ssz.",
      valueName: "name"))
  var method = "minmax"

  @Option(
    help: ArgumentHelp(
      "Text, .jsonl or .json to run through the model, one sequence a line.", valueName: "file"))
  var calibration: String?

  @Option(help: ArgumentHelp("The most sequences of it.", valueName: "n"))
  var samples = 128

  @Option(help: ArgumentHelp("The most tokens of a sequence.", valueName: "n"))
  var maxLength = 2048

  @Option(
    help: ArgumentHelp(
      "Scale channels first: iterative, flexible, smoothquant, each perhaps :ALPHA, awq or awq-clip.", valueName: "name"
    ))
  var smooth: String?

  @Option(
    help: ArgumentHelp(
      "Rotate first: all, the residual stream and the heads of attention, or heads.", valueName: "what"))
  var rotate: String?

  @Option(help: ArgumentHelp("Rotate so many channels together instead of all.", valueName: "n"))
  var rotationBlock: Int?

  @Option(help: ArgumentHelp("Quantize the cache of keys and values: c8 or c8-asymmetric.", valueName: "name"))
  var kvCache: String?

  @Flag(help: "Move the size of keys to the queries first.")
  var smoothKeys = false

  @Option(
    help: ArgumentHelp(
      "How w8a8 finds the range of inputs: minmax, mean, histogram or percentile:SHARE.", valueName: "name"))
  var inputRange = "minmax"

  @Flag(help: "Make the range of inputs symmetric.")
  var symmetricInputs = false

  @Option(
    help: ArgumentHelp(
      "msmodelslim does what that tool does wrong too, see docs/QUANTIZATION.md.", valueName: "name"))
  var compat: String?

  @Option(
    help: ArgumentHelp(
      "The kind of package: ascendv1, compressed-tensors, mindformers, mindie or vllm-ascend.", valueName: "name"))
  var format = "ascendv1"

  @OptionGroup var dry: DryRunOption
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    var options = QuantizationOptions(scheme: scheme)
    options.overrides = try overrides.map { text in
      guard let mark = text.lastIndex(of: "=") else {
        throw BessemerError(.usage, "--scheme \(quoted(text)): expected PATTERN=SCHEME")
      }
      return (try NamePattern(String(text[..<mark])), String(text[text.index(after: mark)...]))
    }
    options.keep = try keep.map { try NamePattern($0) }
    guard (scheme == nil) != (recipe == nil) else {
      throw BessemerError(.usage, "give a scheme, such as w8a8-dynamic, or a recipe with --recipe")
    }
    options.recipe = recipe
    options.method = method
    options.calibration = calibration
    options.calibrationLimit = samples
    options.calibrationLength = maxLength
    options.smoothing = smooth
    options.rotates = rotate
    options.rotationBlock = rotationBlock
    options.cache = kvCache
    options.smoothsKeys = smoothKeys
    options.inputRange = inputRange
    options.isInputSymmetric = symmetricInputs
    guard compat == nil || compat == "msmodelslim" else {
      throw BessemerError(.usage, "--compat takes msmodelslim, not \(quoted(compat ?? ""))")
    }
    options.isCompatible = compat != nil
    options.format = format
    options.threads = common.resources.threads
    options.overwrite = common.overwrite
    if let scheme, let type = BlockQuantization.type(scheme) {
      return try writeBlocks(BlockQuantization.conversion(model, to: output, type, options), console)
    }
    let quantizer = try Quantizer(model, to: output, options: options)
    var notes: [String] = []
    if !dry.dryRun {
      let progress = console.progress("quantize", unit: .bytes)
      defer { progress.finish() }
      notes = try quantizer.write { progress.update($0, of: $1) }
    }
    if console.isJSON { try writeJSON(quantizer, notes, console) } else { try writeText(quantizer, notes, console) }
  }

  /// Writes a GGUF file.
  private func writeBlocks(_ conversion: Conversion, _ console: Console) throws {
    let progress = console.progress("quantize", unit: .bytes)
    defer { progress.finish() }
    var items = conversion.items
    if !dry.dryRun { items = try conversion.write { progress.update($0, of: $1) } }
    progress.finish()
    let listing = ConvertListing(conversion: conversion, items: items, isDryRun: dry.dryRun)
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
  }

  private func writeText(_ quantizer: Quantizer, _ notes: [String], _ console: Console) throws {
    var table = Table([("", .left), ("", .left), ("", .left), ("", .right), ("", .left)])
    for item in quantizer.items where item.scheme != nil || console.isVerbose {
      table.add(name: item.name.string)
      table.add(item.from.dtype.rawValue)
      table.add(shape: item.from.shape ?? [])
      table.add(ByteSize(item.byteCount).text)
      table.add(item.scheme.map { item.keepsCodes ? "\($0), codes kept" : $0 } ?? "unchanged")
    }
    try table.write(to: console.out)
    for note in notes { try console.out.line("note: \(note)") }
    let quantized = quantizer.items.filter { $0.scheme != nil }.count
    try console.out.line(
      "\(dry.dryRun ? "would write" : "wrote") \(escaped(output, limit: 240)): "
        + "\(counted(quantized, "layer")) quantized, "
        + "\(counted(quantizer.items.count - quantized, "tensor")) kept")
    try console.out.line(
      "\(ByteSize(quantizer.sourceByteCount).text) in, \(ByteSize(quantizer.byteCount).text) out; "
        + "memory peak \(ByteSize(Machine.peakByteCount).text)")
  }

  private func writeJSON(_ quantizer: Quantizer, _ notes: [String], _ console: Console) throws {
    try console.json("quantize") { json in
      json.member("input", model)
      json.member("output", output)
      json.member("dry_run", dry.dryRun)
      json.array("tensors") { json in
        for item in quantizer.items {
          json.object { json in
            json.member("name", item.name.string)
            json.member("from", item.from.description)
            if let scheme = item.scheme { json.member("scheme", scheme) } else { json.null("scheme") }
            json.member("codes_kept", item.keepsCodes)
            json.member("bytes", item.byteCount)
          }
        }
      }
      json.array("notes", notes)
      json.member("bytes_in", quantizer.sourceByteCount)
      json.member("bytes_out", quantizer.byteCount)
      json.member("memory_peak_bytes", Machine.peakByteCount)
    }
  }
}
