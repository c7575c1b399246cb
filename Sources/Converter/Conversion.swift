internal import Checkpoints
internal import Digests
internal import Safetensors
public import Tensors

/// Writes a checkpoint in another format, tensor by tensor.
public struct Conversion: Sendable {
  /// A tensor of the output.
  public struct Item: Sendable {
    public let name: TensorName
    /// The tensors that it comes from, and what is done to them.
    public let sources: [TensorName]
    public let steps: [String]
    /// The type of the first source.
    public let from: DType
    public let to: DType
    /// What the source and the output hold: an element type, or an encoding of blocks.
    public let storedFrom: String
    public let storedTo: String
    public let shape: [Int]
    public let byteCount: Int
    /// The file of the output that holds it.
    public let file: String
    /// Whether its elements are cast.
    public let isCast: Bool
    /// The tensor of the output that it is stored as; it takes no bytes of its own.
    public let twin: TensorName?
    /// What the casts did; nil for a tensor that is not cast, and for one that was not read.
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
  /// Names of the files that are written; a folder's are relative to it.
  public let files: [String]
  /// Tensors of the input that share their bytes, in groups. The output holds each by itself unless it has a twin.
  public let ties: [[TensorName]]
  /// The memory that the conversion is planned to take at most.
  public let memory: ConversionMemory

  let options: ConversionOptions
  let format: any WritableCheckpointFormat
  let store: TensorStore
  let metadata: [TensorName: String]
  let planned: [Planned]
  /// For each tensor that is stored as another one, that one.
  let twins: [TensorName: TensorName]
  let evaluator: TensorEvaluator
  /// Configuration and tokenizer of the input, for a folder.
  let companions: [ModelFiles.File]

  /// Reads the headers of the input and checks everything but values: the output's place, types, names, memory.
  public init(_ input: String, to output: String, options: ConversionOptions) throws {
    self.input = input
    self.output = output
    let format = try Conversion.target(output, options)
    self.format = format
    targetFormat = format.name
    if case .bundle = try ModelLocation(input) {
      throw BessemerError(.wrongFormat, "is a bundle; convert takes a checkpoint", file: input)
    }
    let source = try CheckpointFormats.format(at: input)
    sourceFormat = source.name
    let store = try options.reading.applied(to: source).read(input)
    self.store = store
    var options = options
    if Conversion.isModelFolder(output, store, source, format, options) {
      options.shardByteCount = options.shardByteCount ?? .max
    }
    self.options = options
    try Conversion.checkOutput(output, input, format, options)
    sourceByteCount = store.byteCount
    droppedMetadataCount = format.keepsMetadata ? 0 : store.metadata.count
    let translation = try GGUFTranslation(store, from: source, input, to: format, options)
    let mapped = try translation?.tensors ?? Conversion.mapped(store, input, options)
    let planned = try Conversion.typed(mapped, options.types, input, translation?.isExact)
    self.planned = planned
    droppedNames = translation?.droppedNames ?? []
    let twins = format.keepsTies ? try Conversion.twins(planned) : [:]
    self.twins = twins
    let entries = planned.map { $0.entry(twins) }
    let metadata =
      try translation.map { try $0.metadata(entries.map { ($0.name, $0.shape, $0.storedWord) }) }
      ?? Conversion.metadata(store, planned)
    self.metadata = metadata
    try Conversion.checkEncodings(planned, format, options, input)
    try inFile(output) { try format.check(entries, metadata: metadata) }
    companions = try translation?.files ?? (options.shardByteCount == nil ? [] : Conversion.companions(input))
    let places: [TensorName: String]
    let files: [String]
    (files, places) = try Conversion.layout(entries, metadata, companions, output, options)
    self.files = files
    let hasBlocks = format is GGUF
    items = zip(planned, entries).map { tensor, entry in
      Conversion.item(entry, of: tensor, places[tensor.name] ?? files[0], hasBlocks: hasBlocks)
    }
    ties = try Conversion.ties(store)
    memory = try ConversionMemory(
      tensorCount: store.entries.count + planned.count, options.resources,
      computes: options.ledger != nil || options.writing.strategy != nil
        || planned.contains { $0.expression.identity == nil })
    evaluator = TensorEvaluator(
      threads: options.resources.threads, memoryByteCount: memory.pieceByteCount, spoolFolder: folderPath(of: output))
  }

  /// Bytes of all tensors of the output.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Finds out what the casts do without writing anything. Throws ``ErrorCode/comparison`` when a value would change
  /// and none may. `progress` gets the bytes done and the bytes in all.
  public func measure(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> [Item] {
    try finished(examine(items.indices.filter { items[$0].isCast }, progress))
  }

  /// Reads tensors, and notes what casts do and, for a ledger, digests.
  private func examine(
    _ indices: [Int], _ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) throws -> ConversionWork {
    let work = ConversionWork(
      total: indices.reduce(0) { $0 + (planned[$1].expression.byteCount ?? 0) }, progress: progress)
    for index in indices { try evaluate(index, planned[index].expression, work) { _ in } }
    let lossy = finished(work).filter { $0.losses?.isLossy ?? false }
    guard options.isLossless, let first = lossy.first else { return work }
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
    // Ranks hold parts of tensors, some of them several times: what becomes of the whole is found out before.
    let isCut = options.writing.strategy != nil
    var examined: ConversionWork?
    if options.isLossless || isCut {
      examined = try examine(
        items.indices.filter { items[$0].isCast || isCut && options.ledger != nil }, progress)
    }
    // Blocks that stay as they are cost next to nothing.
    let made = planned.filter { twins[$0.name] == nil && (!$0.entry(twins).isEncoded || !(format is GGUF)) }
    let work = ConversionWork(total: made.reduce(0) { $0 + ($1.expression.byteCount ?? 0) }, progress: progress)
    let entries = planned.indices.map { index in
      planned[index].entry(twins) { expression, body in
        guard isCut else { return try evaluate(index, expression, work, body) }
        try evaluator.forEachPiece(expression) { piece in
          try body(piece)
          work.add(piece.count)
        }
      }
    }
    let ledger = try options.ledger.map { try Ledger(path: $0, overwrite: options.overwrite) }
    if options.shardByteCount == nil {
      try format.write(entries, metadata: metadata, to: output, overwrite: options.overwrite)
    } else {
      try writeShards(entries, work)
    }
    let results = isCut ? examined ?? work : work
    if !twins.isEmpty { shareResults(results) }
    let written = finished(results)
    try ledger?.write(self, written, results)
    return written
  }

  /// Notes for each tensor that is stored as another what became of that one.
  private func shareResults(_ work: ConversionWork) {
    let results = work.results
    let indices = Dictionary(items.indices.map { (items[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    for (index, item) in items.enumerated() {
      if let twin = item.twin, let result = indices[twin].flatMap({ results[$0] }) { work.note(index) { $0 = result } }
    }
  }

  /// Gives the bytes of a tensor to `body` and notes what became of them.
  private func evaluate(
    _ index: Int, _ expression: TensorExpression, _ work: ConversionWork, _ body: (Bytes) throws -> Void
  ) throws {
    let item = items[index]
    func pass(_ piece: Bytes) throws {
      try body(piece)
      work.add(piece.count)
    }
    var losses = CastLosses()
    if options.ledger == nil {
      losses = try evaluator.forEachPiece(expression, pass)
    } else {
      let hasher = TensorHasher(item.to, shape: item.shape)
      precondition(TensorEvaluator.pieceByteCount == TensorHasher.leafByteCount, "pieces are leaves")
      losses = try evaluator.forEachPiece(expression, note: TensorHasher.leafDigests) { piece, leaves in
        hasher.update(leafDigests: leaves)
        try pass(piece)
      }
      let digest = hasher.finish()
      // Blocks hold other values than those that they are made from.
      if planned[index].encoding == nil { work.note(index) { $0.digest = digest } }
    }
    guard item.isCast else { return }
    let total = losses.total(of: item)
    work.note(index) { $0.losses = total }
  }

  /// The tensors with what became of them.
  private func finished(_ work: ConversionWork) -> [Item] {
    var result = items
    for (index, state) in work.results { result[index].losses = state.losses }
    return result
  }
}

extension CastLosses {
  /// What casts did to a tensor; one that changes no value is not counted while it runs.
  fileprivate func total(of item: Conversion.Item) -> Count {
    counts.isEmpty ? Count(examined: Tensor.elementCount(of: item.shape) ?? 0) : total
  }
}
