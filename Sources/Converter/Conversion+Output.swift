internal import Checkpoints
internal import Digests
internal import Safetensors
internal import Tensors

extension Conversion {
  static func item(_ entry: CheckpointEntry, of tensor: Planned, _ file: String, hasBlocks: Bool) -> Item {
    let expression = tensor.expression
    let encoding = hasBlocks ? entry.encoding : nil
    let source = expression.sources.first
    let encodes = tensor.encoding.map { ["encode \(expression.dtype) to \($0.rawValue)"] } ?? []
    return Item(
      name: tensor.name, sources: expression.sources.map(\.name), steps: expression.steps + encodes,
      from: source?.dtype ?? expression.dtype,
      to: expression.dtype, storedFrom: source?.storedTypeName ?? expression.dtype.rawValue,
      storedTo: encoding?.rawValue ?? expression.dtype.rawValue,
      shape: expression.shape,
      byteCount: entry.twin == nil ? (hasBlocks ? entry.storedByteCount : expression.byteCount) ?? 0 : 0,
      file: file, isCast: expression.isCast, twin: entry.twin)
  }

  /// The format to write.
  static func target(_ output: String, _ options: ConversionOptions) throws
    -> any WritableCheckpointFormat
  {
    let format: (any CheckpointFormat)?
    if let word = options.format {
      format = try CheckpointFormats.format(word: word)
    } else {
      let isRanks = options.writing.strategy != nil
      format =
        options.shardByteCount != nil
        ? SafetensorsFormat() : isRanks ? MindSporeCheckpoint() : CheckpointFormats.format(named: output)
    }
    guard let format else {
      let writable = CheckpointFormats.all.filter { $0 is any WritableCheckpointFormat }
      let suffixes = writable.flatMap { $0.suffixes }.joined(separator: ", ")
      throw BessemerError(.usage, "no format ends like \(quoted(output)) (\(suffixes)); pass --to")
    }
    guard let format = format as? any WritableCheckpointFormat else {
      throw BessemerError(.usage, "\(format.name) files are read, not written; pass another format with --to")
    }
    guard options.shardByteCount == nil || format is SafetensorsFormat else {
      throw BessemerError(.usage, "only safetensors are written in shards, not \(format.name)")
    }
    var writing = options.writing
    writing.sourceStrategy = options.reading.strategy
    return try writing.applied(to: format)
  }

  /// Throws when tensors are to be encoded in blocks that the format has not, or without loss.
  static func checkEncodings(
    _ planned: [Planned], _ format: any WritableCheckpointFormat, _ options: ConversionOptions, _ input: String
  ) throws {
    let encoded = planned.filter { $0.encoding != nil }
    guard let first = encoded.first else { return }
    guard format is GGUF else {
      throw BessemerError(
        .usage, "--dtype \(first.encoding?.rawValue ?? "") is an encoding of GGUF files, not of \(format.name)")
    }
    guard !options.isLossless else {
      throw BessemerError(
        .comparison, "encoding \(encoded.count) tensors in blocks changes values; nothing is written", file: input)
    }
  }

  /// Says before any work what writing would say in the end.
  static func checkOutput(
    _ output: String, _ input: String, _ format: any WritableCheckpointFormat, _ options: ConversionOptions
  ) throws {
    let isFolder = options.shardByteCount != nil || format.writesFolder
    if let target = realPath(output), target == realPath(input) {
      throw BessemerError(.outputIsInput, "is the input itself", file: output)
    }
    if let ledger = options.ledger {
      try Bundles.checkOutput(ledger, overwrite: options.overwrite, kind: .file)
      guard realPath(ledger) != realPath(output) else {
        throw BessemerError(.usage, "--ledger names the output", file: ledger)
      }
    }
    if options.resumes, options.shardByteCount == nil {
      throw BessemerError(.usage, "--resume is for folders of shards, see --shard-size; all else is written anew")
    }
    guard isFolder, exists(output), try Converter.isFolder(output) else {
      return try Bundles.checkOutput(output, overwrite: options.overwrite, kind: isFolder ? .folder : .file)
    }
    if try InputFolder(path: output).names(limit: 1 << 20).isEmpty { return }
    guard options.overwrite else {
      throw BessemerError(
        .outputExists, "exists already; nothing was touched (pass --overwrite to replace it)", file: output)
    }
    guard try format.writesFolder ? format.mayReplace(folder: output) : mayReplace(output) else {
      throw BessemerError(.outputExists, "holds more than such a checkpoint; it is left alone", file: output)
    }
  }

  /// Whether a GGUF file becomes a model's folder: safetensors under a name that is none of a file. A file with none of
  /// a known family's names holds no model.
  static func isModelFolder(
    _ output: String, _ store: TensorStore, _ source: any CheckpointFormat, _ format: any WritableCheckpointFormat,
    _ options: ConversionOptions
  ) -> Bool {
    source is GGUF && format is SafetensorsFormat && options.maps.isEmpty && !options.keepsNames
      && CheckpointFormats.format(named: output) == nil && GGUFImport(store)?.knowsNoName != true
  }

  /// Whether a folder holds nothing but what a conversion writes: shards, their index, and a model's small files.
  static func mayReplace(_ path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    let subfolders = Set(ModelFiles.names.filter { $0.contains("/") }.map { String($0.prefix { $0 != "/" }) })
    return try folder.holdsOnlyFiles(andFolders: subfolders)
      && folder.names().allSatisfy { name in
        name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json")
          || ModelFiles.names.contains(name) || subfolders.contains(name)
      }
  }

  /// The small files beside the weights, for a model's folder, under their names in it.
  static func companions(_ input: String) throws -> [ModelFiles.File] {
    guard case .folder(let path) = try ModelLocation(input) else { return [] }
    let folder = try InputFolder(path: path)
    return try ModelFiles.names.filter { folder.contains($0) }.map { name in
      let file = try folder.open(name, links: .followed)
      return ModelFiles.File(name: name, path: file.path, bytes: try file.map().bytes)
    }
  }

  /// The files of the output, and which of them holds each tensor when there are several.
  static func layout(
    _ entries: [CheckpointEntry], _ metadata: [TensorName: String], _ companions: [ModelFiles.File], _ output: String,
    _ options: ConversionOptions
  ) throws -> (files: [String], places: [TensorName: String]) {
    guard let limit = options.shardByteCount else {
      let name = output.trimmingSlashes.utf8.split(separator: UInt8(ascii: "/")).last.flatMap { String($0) }
      return ([name ?? output], [:])
    }
    let (tensors, metadata) = SafetensorsFormat.stored(entries, metadata)
    let writer = try ShardedWriter(tensors, metadata: metadata, maxShardByteCount: limit)
    var places: [TensorName: String] = [:]
    for shard in writer.shards { for name in shard.writer.names { places[name] = shard.name } }
    for entry in entries { if let twin = entry.twin { places[entry.name] = places[twin] } }
    return (writer.fileNames + companions.map(\.name), places)
  }

  /// Writes the shards, their index and the small files beside them.
  func writeShards(_ entries: [CheckpointEntry], _ work: ConversionWork) throws {
    let (tensors, metadata) = SafetensorsFormat.stored(entries, metadata)
    let writer = try ShardedWriter(tensors, metadata: metadata, maxShardByteCount: options.shardByteCount ?? .max)
    let indices = Dictionary(
      items.indices.map { (items[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    try AtomicFolder.write(
      to: output, overwrite: options.overwrite, key: options.resumes ? key().description : nil,
      mayReplace: Conversion.mayReplace
    ) { folder in
      for shard in writer.shards {
        let tensors = shard.writer.names.compactMap { indices[$0] }
        let before = try folder.write(shard.name, byteCount: shard.writer.byteCount, note: { work.text(tensors) }) {
          try shard.writer.write(to: $0)
        }
        guard let before else { continue }
        try work.restore(tensors, before)
        work.add(tensors.reduce(0) { $0 + items[$1].byteCount })
      }
      if let index = writer.index {
        try folder.write(index.name, byteCount: index.text.count) { try $0.write(index.text) }
      }
      for file in companions {
        try folder.write(file.name, byteCount: file.bytes.count) { try $0.write(file.bytes) }
      }
    }
  }

  /// What must be the same for a conversion to go on with what another one left: the state of the inputs, and all that
  /// is done to them.
  private func key() throws -> Digest {
    var text = "bessemer.conversion/1 \(options.shardByteCount ?? 0) \(options.ledger != nil)\n"
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { text += "\(key)=\(value)\n" }
    for (item, tensor) in zip(items, planned) {
      let sources = try tensor.expression.sources.map { source in
        let place = try source.place.map { "\($0.file) \($0.offset)" } ?? ""
        return "\(source.name) \(source.file) \(source.type) \(place)"
      }
      text += "\(item.name) \(item.to) \(item.shape) \(item.file) \(item.steps) \(sources)\n"
    }
    for file in companions { text += "\(file.name) \(try SHA256.digest(of: file.bytes))\n" }
    return try SHA256.digest(of: Bytes(text.utf8))
  }
}
