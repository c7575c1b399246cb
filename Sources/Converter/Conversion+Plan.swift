internal import Checkpoints
internal import Tensors

extension Conversion {
  /// A tensor of the output.
  struct Planned {
    let name: TensorName
    let expression: TensorExpression
    let encoding: BlockType?
    /// Whether blocks of the source stay as they are.
    let keepsBlocks: Bool

    init(_ tensor: MapEngine.Item, _ target: TypeRules.Target?) throws {
      name = tensor.name
      keepsBlocks = target == nil
      switch target {
      case .type(let dtype): (expression, encoding) = (try tensor.expression.cast(to: dtype), nil)
      case .blocks(let type): (expression, encoding) = (try tensor.expression.cast(to: .float32), type)
      case nil: (expression, encoding) = (tensor.expression, nil)
      }
    }

    /// What is written.
    func entry(
      _ twins: [TensorName: TensorName], evaluate: @escaping CheckpointEntry.Evaluate = CheckpointEntry.evaluate
    ) -> CheckpointEntry {
      var entry = CheckpointEntry(
        name, expression, encoding: encoding, keepsBlocks: keepsBlocks, evaluate: evaluate)
      entry.twin = twins[name]
      return entry
    }
  }

  /// The tensors of the input after all maps. Throws ``ErrorCode/weightMap`` with all problems of a map.
  static func mapped(_ store: TensorStore, _ input: String, _ options: ConversionOptions) throws -> [MapEngine.Item] {
    guard !options.maps.isEmpty else {
      guard !options.isStrict else { throw BessemerError(.usage, "--strict is for conversions with --map") }
      return MapEngine(store).result
    }
    var engine = MapEngine(store)
    let subject = WeightMap.Subject(entries: store.entries, metadata: store.metadata, config: try config(input))
    for word in options.maps {
      let map = try WeightMap.named(word)
      let rules = try inFile(word) { try map.rules(for: subject) }
      try engine.apply(rules)
      try inFile(word) { try MapFile.report(engine.problems) }
    }
    if options.isStrict {
      let names = engine.unclaimedNames(store)
      try inFile(input) {
        try MapFile.report(names.map { "no rule names tensor \(quoted($0.string)), which --strict demands" })
      }
    }
    return engine.result
  }

  /// The texts of the input. Those that stand under the name of a tensor go where its elements go as they are.
  static func metadata(_ store: TensorStore, _ planned: [Planned]) -> [TensorName: String] {
    var metadata = store.metadata
    let marks = metadata.filter { store[$0.key] != nil }
    guard !marks.isEmpty else { return metadata }
    for name in marks.keys { metadata[name] = nil }
    for tensor in planned where !tensor.expression.isCast && tensor.encoding == nil {
      let sources = Set(tensor.expression.sources.map(\.name))
      if sources.count == 1, let source = sources.first, let mark = marks[source] { metadata[tensor.name] = mark }
    }
    return metadata
  }

  /// The object in config.json beside the weights, if there is one.
  private static func config(_ input: String) throws -> JSON? {
    let folder = try ModelLocation(input).modelFolder
    guard try InputFolder(path: folder).contains("config.json") else { return nil }
    return try ModelFiles(folder: folder).json("config.json")
  }

  /// The tensors with the casts and encodings that are asked for. Throws ``ErrorCode/usage`` for a pattern that changes
  /// nothing. What `isExact` asks for becomes float32 unless a pattern names it.
  static func typed(
    _ tensors: [MapEngine.Item], _ types: TypeRules, _ input: String,
    _ isExact: ((_ name: TensorName, _ shape: [Int]) -> Bool)? = nil
  ) throws -> [Planned] {
    var unused = Set(types.patterns.indices)
    let result = try tensors.map { tensor in
      var (target, pattern) = try types.target(tensor.name, tensor.expression.type)
      if let pattern { unused.remove(pattern) }
      if pattern == nil, tensor.expression.dtype.isFloat, isExact?(tensor.name, tensor.expression.shape) ?? false {
        target = .type(.float32)
      }
      return try Planned(tensor, target)
    }
    let problems = unused.sorted().map { index in
      let rule = types.patterns[index]
      return "--dtype \(quoted(rule.pattern.text + "=" + rule.target.word)) finds no tensor to cast among "
        + "\(tensors.count)"
    }
    if let first = problems.first { throw BessemerError(.usage, first, file: input, details: problems) }
    return result
  }
}
