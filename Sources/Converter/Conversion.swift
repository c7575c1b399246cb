public import Checkpoints
internal import Safetensors
internal import Synchronization
public import Tensors

/// How a checkpoint is converted.
public struct ConversionOptions: Sendable {
  /// The format to write, by name; nil for the one that the output's name ends like.
  public var format: String?
  /// The types that tensors are cast to.
  public var types = TypeRules()
  /// Maps to apply one after the other: names of built-in ones, or files.
  public var maps: [String] = []
  /// Whether a tensor that no rule of a map names is an error.
  public var isStrict = false
  /// The most bytes of tensors in a file; the output is then a folder.
  public var shardByteCount: Int?
  /// Whether a cast that changes a value is an error.
  public var isLossless = false
  /// Whether names and metadata stay also where a model would be translated, from a folder into a GGUF file or back.
  public var keepsNames = false
  /// How the input is read.
  public var reading = ReadOptions()
  /// What is asked of the format that is written.
  public var writing = WriteOptions()
  public var overwrite = false

  public init() {}
}

/// Writes a checkpoint in another format, tensor by tensor.
public struct Conversion: Sendable {
  /// A tensor of the output.
  public struct Item: Sendable {
    public let name: TensorName
    /// The tensors that it comes from, and what was done to them.
    public let sources: [TensorName]
    public let steps: [String]
    public let from: DType
    public let to: DType
    /// What the source and the output hold: an element type, or an encoding of blocks.
    public let storedFrom: String
    public let storedTo: String
    public let shape: [Int]
    public let byteCount: Int
    /// What the cast did; nil for a tensor that is not cast.
    public fileprivate(set) var losses: CastLosses.Count?
  }

  public let input: String
  public let output: String
  public let sourceFormat: String
  public let targetFormat: String
  /// Bytes of all tensors of the input.
  public let sourceByteCount: Int
  /// Texts that the target's format does not keep.
  public let droppedMetadataCount: Int
  /// Tensors of a model that the files it becomes have no place for.
  public let droppedNames: [TensorName]
  /// The tensors, as far as it is known before they are written.
  public let items: [Item]

  private let options: ConversionOptions
  private let format: any WritableCheckpointFormat
  private let store: TensorStore
  private let planned: [Planned]
  private let metadata: [TensorName: String]
  /// Files beside the weights in a folder.
  private let files: [(name: String, bytes: [UInt8])]
  private let isFolder: Bool
  private let evaluator: TensorEvaluator

  /// Reads the headers of the input and checks everything but values: the output's place, types, names.
  public init(_ input: String, to output: String, options: ConversionOptions) throws {
    self.input = input
    self.output = output
    self.options = options
    format = try Conversion.target(output, options)
    targetFormat = format.name
    if case .bundle = try ModelLocation(input) {
      throw BessemerError(.wrongFormat, "is a bundle; convert takes a checkpoint", file: input)
    }
    let source = try CheckpointFormats.format(at: input)
    sourceFormat = source.name
    let isFolder = options.shardByteCount != nil || Conversion.isModelFolder(output, source, format, options)
    try Conversion.checkOutput(output, input, format, options, isFolder: isFolder)
    let store = try options.reading.applied(to: source).read(input)
    self.store = store
    sourceByteCount = store.byteCount
    droppedMetadataCount = format.keepsMetadata ? 0 : store.metadata.count
    evaluator = TensorEvaluator(threads: Machine.processorCount, spoolFolder: folderPath(of: output))
    let translation =
      options.maps.isEmpty && !options.keepsNames
      ? try GGUFTranslation(store, from: source, input, toFolder: isFolder, isGGUF: format is GGUF) : nil
    let mapped = try translation?.tensors ?? Conversion.mapped(store, input, options)
    let planned = try Conversion.typed(mapped, options.types, input, translation?.isExact)
    self.planned = planned
    let entries = planned.map { $0.entry() }
    metadata =
      try translation.map { try $0.metadata(zip(planned, entries).map(Conversion.described)) } ?? store.metadata
    self.isFolder = isFolder
    let used = Set(planned.flatMap { $0.expression.sources.map(\.name) })
    droppedNames = translation == nil ? [] : store.entries.map(\.name).filter { !used.contains($0) }
    files = translation?.files ?? []
    let hasBlocks = format is GGUF
    items = zip(planned, entries).map { Conversion.item($0, $1, hasBlocks: hasBlocks) }
    let encoded = planned.filter { $0.encoding != nil }
    guard encoded.isEmpty || hasBlocks else {
      throw BessemerError(
        .usage, "--dtype \(encoded[0].encoding?.rawValue ?? "") is an encoding of GGUF files, not of \(format.name)")
    }
    guard encoded.isEmpty || !options.isLossless else {
      throw BessemerError(
        .comparison, "encoding \(encoded.count) tensors in blocks changes values; nothing is written", file: input)
    }
    try inFile(output) { try format.check(entries, metadata: metadata) }
  }

  /// Bytes of all tensors of the output.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Finds out what the casts do without writing anything. Throws ``ErrorCode/comparison`` when a value would change
  /// and none may. `progress` gets the bytes done and the bytes in all.
  public func measure(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> [Item] {
    var items = items
    var done = 0
    for (index, tensor) in planned.enumerated() where items[index].to != items[index].from {
      let losses = try evaluator.forEachPiece(tensor.expression) { piece in
        done += piece.count
        progress(done, byteCount)
      }
      items[index].losses = Conversion.count(losses, items[index])
    }
    let lossy = items.filter { $0.losses?.isLossy ?? false }
    guard options.isLossless, let first = lossy.first else { return items }
    let lines = lossy.map { item in
      "\(quoted(item.name.string)): \(item.losses?.changed ?? 0) of \(item.losses?.examined ?? 0) values as \(item.to)"
    }
    throw BessemerError(
      .comparison,
      "casting to \(first.to.longName) changes values of \(lossy.count) tensors: \(lines[0]); nothing is written",
      file: input, details: lines)
  }

  /// Writes the output, whole or not at all, and returns what became of each tensor. With
  /// ``ConversionOptions/isLossless`` everything is measured first.
  public func write(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> [Item] {
    // Ranks hold parts of tensors, some of them several times: what casts do is counted once before.
    let isCut = options.writing.strategy != nil
    let measured = try options.isLossless || isCut ? measure(progress: progress) : items
    // Blocks that stay as they are cost next to nothing.
    let made = planned.filter { !$0.entry().isEncoded || !(format is GGUF) }
    let work = Work(total: made.reduce(0) { $0 + ($1.expression.byteCount ?? 0) }, progress: progress)
    let entries = zip(items, planned).enumerated().map { index, pair in
      let (item, tensor) = pair
      let note: @Sendable (CastLosses) -> Void = { losses in
        if item.to != item.from { work.note(Conversion.count(losses, item), at: index) }
      }
      return tensor.entry(evaluator: evaluator, note: note) { work.add($0) }
    }
    if isFolder {
      let writer = try ShardedWriter(
        entries.map(\.safetensors), metadata: metadata, maxShardByteCount: options.shardByteCount ?? .max)
      try AtomicFolder.write(to: output, overwrite: options.overwrite, mayReplace: Conversion.mayReplace) { folder in
        for (name, bytes) in files { try folder.write(name, byteCount: bytes.count) { try $0.write(bytes) } }
        try writer.write(to: folder)
      }
    } else {
      try format.write(entries, metadata: metadata, to: output, overwrite: options.overwrite)
    }
    guard !isCut else { return measured }
    var items = items
    for (index, losses) in work.losses { items[index].losses = losses }
    return items
  }

  /// Progress and results of writing.
  private final class Work: Sendable {
    private let state = Mutex<(done: Int, losses: [Int: CastLosses.Count])>((0, [:]))
    private let total: Int
    private let progress: @Sendable (Int, Int) -> Void

    init(total: Int, progress: @escaping @Sendable (Int, Int) -> Void) {
      self.total = total
      self.progress = progress
    }

    var losses: [Int: CastLosses.Count] { state.withLock { $0.losses } }

    func add(_ count: Int) {
      let done = state.withLock { state in
        state.done += count
        return state.done
      }
      progress(min(done, total), total)
    }

    func note(_ losses: CastLosses.Count, at index: Int) { state.withLock { $0.losses[index] = losses } }
  }
}

extension Conversion {
  /// What a cast did; one that changes no value is not counted while it runs.
  private static func count(_ losses: CastLosses, _ item: Item) -> CastLosses.Count {
    losses.counts.isEmpty ? CastLosses.Count(examined: Tensor.elementCount(of: item.shape) ?? 0) : losses.total
  }

  private static func item(_ tensor: Planned, _ entry: CheckpointEntry, hasBlocks: Bool) -> Item {
    let expression = tensor.expression
    let encoding = hasBlocks ? entry.encoding : nil
    var storedFrom = tensor.source.rawValue
    if case .blocks(let type) = expression.sources.first?.layout { storedFrom = type.rawValue }
    return Item(
      name: tensor.name, sources: expression.sources.map(\.name), steps: expression.steps, from: tensor.source,
      to: expression.dtype, storedFrom: storedFrom, storedTo: encoding?.rawValue ?? expression.dtype.rawValue,
      shape: expression.shape, byteCount: (hasBlocks ? entry.storedByteCount : expression.byteCount) ?? 0)
  }

  /// The format to write.
  private static func target(_ output: String, _ options: ConversionOptions) throws
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

  /// Says before any work what writing would say in the end.
  private static func checkOutput(
    _ output: String, _ input: String, _ format: any WritableCheckpointFormat, _ options: ConversionOptions,
    isFolder: Bool
  ) throws {
    let isFolder = isFolder || format.writesFolder
    if let target = realPath(output), target == realPath(input) {
      throw BessemerError(.outputIsInput, "is the input itself", file: output)
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

  /// Whether a GGUF file becomes a model's folder: safetensors under a name that is none of a file.
  private static func isModelFolder(
    _ output: String, _ source: any CheckpointFormat, _ format: any WritableCheckpointFormat,
    _ options: ConversionOptions
  ) -> Bool {
    source is GGUF && format is SafetensorsFormat && options.maps.isEmpty && !options.keepsNames
      && CheckpointFormats.format(named: output) == nil
  }

  /// A tensor of the output as metadata counts it.
  private static func described(
    _ tensor: Planned, _ entry: CheckpointEntry
  ) -> (name: TensorName, shape: [Int], type: String) {
    (tensor.name, entry.shape, entry.encoding?.rawValue ?? entry.dtype.rawValue)
  }

  /// Whether a folder holds nothing but shards, their index and the files of a model that are written beside them.
  private static func mayReplace(_ path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    return try folder.holdsOnlyFiles()
      && folder.names().allSatisfy {
        $0.hasSuffix(".safetensors") || $0.hasSuffix(".safetensors.index.json")
          || ["config.json", "tokenizer.json", "tokenizer_config.json"].contains($0)
      }
  }
}
