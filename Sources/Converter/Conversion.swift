public import Checkpoints
internal import Safetensors
internal import Synchronization
public import Tensors

/// How a checkpoint is converted.
public struct ConversionOptions: Sendable {
  /// The format to write, by name; nil for the one that the output's name ends like.
  public var format: String?
  /// The type that floating-point tensors of 16 bits and more get; nil leaves all as they are.
  public var dtype: DType?
  /// The most bytes of tensors in a file; the output is then a folder.
  public var shardByteCount: Int?
  /// Whether a cast that changes a value is an error.
  public var isLossless = false
  /// Whether a MindSpore checkpoint gets a checksum.
  public var writesChecksum = false
  /// What a MindSpore checkpoint is encrypted with.
  public var encryption: Encryption?
  /// How the input is read.
  public var reading = ReadOptions()
  public var overwrite = false

  public init() {}
}

/// Writes a checkpoint in another format, tensor by tensor, names unchanged.
public struct Conversion: Sendable {
  /// A tensor of the output.
  public struct Item: Sendable {
    public let name: TensorName
    public let from: DType
    public let to: DType
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
  /// The tensors, as far as it is known before they are written.
  public let items: [Item]

  private let options: ConversionOptions
  private let format: any WritableCheckpointFormat
  private let store: TensorStore
  private let expressions: [TensorExpression]

  /// The types that `dtype` may be, and that are cast.
  public static let castTypes: [DType] = [.float64, .float32, .float16, .bfloat16]

  /// Reads the headers of the input and checks everything but values: the output's place, types, names.
  public init(_ input: String, to output: String, options: ConversionOptions) throws {
    self.input = input
    self.output = output
    self.options = options
    if let dtype = options.dtype, !Conversion.castTypes.contains(dtype) {
      throw BessemerError(
        .unsupportedType, "tensors are not cast to \(dtype.longName); expected float64, float32, float16 or bfloat16")
    }
    format = try Conversion.target(output, options)
    targetFormat = format.name
    if case .bundle = try ModelLocation(input) {
      throw BessemerError(.wrongFormat, "is a bundle; convert takes a checkpoint", file: input)
    }
    try Conversion.checkOutput(output, input, options)
    let source = try CheckpointFormats.format(at: input)
    sourceFormat = source.name
    store = try options.reading.applied(to: source).read(input)
    sourceByteCount = store.byteCount
    droppedMetadataCount = format.keepsMetadata ? 0 : store.metadata.count
    let options = options
    expressions = try store.entries.map { entry in
      try TensorExpression(entry).cast(to: Conversion.target(of: entry.dtype, options))
    }
    items = zip(store.entries, expressions).map { entry, expression in
      Item(
        name: entry.name, from: entry.dtype, to: expression.dtype, shape: expression.shape,
        byteCount: expression.byteCount ?? 0)
    }
    let planned = items.map { item in CheckpointEntry(item.name, item.to, shape: item.shape) { _ in } }
    try inFile(output) { try format.check(planned, metadata: store.metadata) }
  }

  /// Bytes of all tensors of the output.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Finds out what the casts do without writing anything. Throws ``ErrorCode/comparison`` when a value would change
  /// and none may. `progress` gets the bytes done and the bytes in all.
  public func measure(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> [Item] {
    var items = items
    var done = 0
    for (index, expression) in expressions.enumerated() where items[index].to != items[index].from {
      let losses = try expression.forEachPiece { piece in
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
    if options.isLossless { _ = try measure(progress: progress) }
    let work = Work(total: byteCount, progress: progress)
    let entries = zip(items, expressions).enumerated().map { index, pair in
      let (item, expression) = pair
      return CheckpointEntry(item.name, item.to, shape: item.shape) { sink in
        let losses = try expression.forEachPiece { piece in
          try sink.write(piece)
          work.add(piece.count)
        }
        if item.to != item.from { work.note(Conversion.count(losses, item), at: index) }
      }
    }
    if let limit = options.shardByteCount {
      let writer = try ShardedWriter(
        entries.map(\.safetensors), metadata: store.metadata, maxShardByteCount: limit)
      try AtomicFolder.write(to: output, overwrite: options.overwrite, mayReplace: Conversion.mayReplace) {
        try writer.write(to: $0)
      }
    } else {
      try format.write(entries, metadata: store.metadata, to: output, overwrite: options.overwrite)
    }
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
      progress(done, total)
    }

    func note(_ losses: CastLosses.Count, at index: Int) { state.withLock { $0.losses[index] = losses } }
  }
}

extension Conversion {
  /// What a cast did; one that changes no value is not counted while it runs.
  private static func count(_ losses: CastLosses, _ item: Item) -> CastLosses.Count {
    losses.counts.isEmpty ? CastLosses.Count(examined: Tensor.elementCount(of: item.shape) ?? 0) : losses.total
  }

  /// The type that a tensor gets: numbers of 8 bits and fewer carry scales beside them and stay as they are.
  private static func target(of dtype: DType, _ options: ConversionOptions) -> DType {
    castTypes.contains(dtype) ? options.dtype ?? dtype : dtype
  }

  /// The format to write.
  private static func target(_ output: String, _ options: ConversionOptions) throws
    -> any WritableCheckpointFormat
  {
    let format: (any CheckpointFormat)?
    if let word = options.format {
      format = try CheckpointFormats.format(word: word)
    } else {
      format = options.shardByteCount != nil ? SafetensorsFormat() : CheckpointFormats.format(named: output)
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
    guard options.writesChecksum || options.encryption != nil else { return format }
    guard format is MindSporeCheckpoint else {
      let option = options.writesChecksum ? "--crc" : "--enc-mode"
      throw BessemerError(.usage, "\(option) is for MindSpore checkpoints, not for \(format.name)")
    }
    guard !options.writesChecksum || options.encryption == nil else {
      throw BessemerError(.usage, "MindSpore does not load encrypted checkpoints with a checksum; leave out --crc")
    }
    return MindSporeCheckpoint(writesChecksum: options.writesChecksum, encryption: options.encryption)
  }

  /// Says before any work what writing would say in the end.
  private static func checkOutput(_ output: String, _ input: String, _ options: ConversionOptions) throws {
    if let target = realPath(output), target == realPath(input) {
      throw BessemerError(.outputIsInput, "is the input itself", file: output)
    }
    guard options.shardByteCount != nil, exists(output), try isFolder(output) else {
      return try Bundles.checkOutput(
        output, overwrite: options.overwrite, kind: options.shardByteCount == nil ? .file : .folder)
    }
    if try InputFolder(path: output).names(limit: 1 << 20).isEmpty { return }
    guard options.overwrite else {
      throw BessemerError(
        .outputExists, "exists already; nothing was touched (pass --overwrite to replace it)", file: output)
    }
    guard try mayReplace(output) else {
      throw BessemerError(.outputExists, "holds more than shards and their index; it is left alone", file: output)
    }
  }

  /// Whether a folder holds nothing but shards and their index.
  private static func mayReplace(_ path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    return try folder.holdsOnlyFiles()
      && folder.names().allSatisfy { $0.hasSuffix(".safetensors") || $0.hasSuffix(".safetensors.index.json") }
  }
}
