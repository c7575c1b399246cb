internal import Tensors

/// How all parameters of a model lie on the devices of its pipeline stages: what MindSpore saves as a strategy file.
///
/// Protobuf (package `mindspore.straspb`) or JSON. Names of a file that covers several stages start with the stage's
/// number, `1-layers.3.weight`; a folder holds one file for each stage. Lists of operators are not needed.
struct Strategy: Sendable {
  /// By name, and then by stage.
  private(set) var layouts: [TensorName: [Int: ParameterLayout]] = [:]
  private(set) var stageCount = 1
  /// Devices of each stage.
  private(set) var deviceCount = 1

  /// Parameters of a file, and of all files of a folder.
  static let maximumParameterCount = 1_000_000
  /// Bytes of a file.
  static let maximumByteCount = 256 << 20
  /// Pipeline stages.
  static let maximumStageCount = 65_536

  /// Reads a file, or a folder of one file for each stage.
  init(path: String) throws {
    if let folder = try? InputFolder(path: path) {
      var items: [(stage: Int, name: TensorName, layout: ParameterLayout)] = []
      var stages: Set<Int> = []
      for name in try folder.names() where name.hasSuffix(".ckpt") || name.hasSuffix(".json") {
        let file = try folder.open(name, links: .followed)
        let part = try inFile(file.path) { try StrategyFile(file) }
        // Every device of a stage saves the same.
        guard stages.insert(part.stage).inserted else { continue }
        items += part.items.map { (part.stage, $0.name, $0.layout) }
      }
      guard !stages.isEmpty else {
        throw BessemerError(.strategy, "holds no strategy file, .ckpt or .json", file: path)
      }
      try inFile(path) { try add(items) }
    } else {
      self = try inFile(path) { try Strategy(InputFile(path: path).readAll(limit: Strategy.maximumByteCount)) }
    }
  }

  /// The content of a file.
  init(_ bytes: Bytes) throws {
    try add(
      StrategyFile(bytes).items.map { item in
        let (stage, name) = Strategy.split(item.name)
        return (stage, name, item.layout)
      })
  }

  private mutating func add(_ items: [(stage: Int, name: TensorName, layout: ParameterLayout)]) throws {
    guard items.count <= Strategy.maximumParameterCount else {
      throw BessemerError(.limit, "\(items.count) parameters, at most \(Strategy.maximumParameterCount) are read")
    }
    guard let first = items.first else { throw BessemerError(.strategy, "describes no parameter") }
    deviceCount = first.layout.deviceCount
    var stages: Set<Int> = []
    for (stage, name, layout) in items {
      guard stage < Strategy.maximumStageCount else { throw BessemerError(.limit, "has a stage \(stage)") }
      guard layout.deviceCount == deviceCount else {
        throw BessemerError(
          .strategy, "parameter \(quoted(name.string)) lies on \(layout.deviceCount) devices, others on \(deviceCount)")
      }
      guard layouts[name, default: [:]].updateValue(layout, forKey: stage) == nil else {
        throw BessemerError(.duplicateName, "parameter \(quoted(name.string)) occurs twice")
      }
      stages.insert(stage)
    }
    stageCount = stages.count
    guard stageCount * deviceCount <= RankFolders.maximumRankCount else {
      throw BessemerError(
        .limit, "describes \(stageCount * deviceCount) devices, at most \(RankFolders.maximumRankCount) are taken")
    }
    guard stages == Set(0..<stages.count) else {
      let missing = (0..<stages.count).first { !stages.contains($0) } ?? 0
      throw BessemerError(.strategy, "lacks stage \(missing) of the pipeline")
    }
  }

  /// The stage that a name starts with, 0 without one, and the parameter's own name.
  private static func split(_ name: TensorName) -> (stage: Int, name: TensorName) {
    let parts = name.string.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let stage = Int(parts[0]), !parts[1].isEmpty
    else { return (0, name) }
    return (stage, TensorName(String(parts[1])))
  }
}

/// One strategy file.
struct StrategyFile {
  private(set) var items: [(name: TensorName, layout: ParameterLayout)] = []
  /// The stage of the first operator.
  private(set) var stage = 0

  init(_ file: InputFile) throws { try self.init(file.readAll(limit: Strategy.maximumByteCount)) }

  /// JSON, or else protobuf.
  init(_ bytes: Bytes) throws {
    if bytes.withUnsafeBytes({ $0.first { $0 > 0x20 } }) == UInt8(ascii: "{") {
      try read(JSON.parse(bytes, limits: JSON.Limits(nodeCount: 1 << 25)))
    } else {
      try read(ByteReader(bytes))
    }
  }

  private mutating func add(_ name: String, _ layout: () throws -> ParameterLayout) throws {
    guard items.count < Strategy.maximumParameterCount else {
      throw BessemerError(.limit, "more than \(Strategy.maximumParameterCount) parameters")
    }
    guard !name.isEmpty, name.utf8.count <= MindSporeCheckpoint.maximumNameByteCount else {
      throw BessemerError(.strategy, "a parameter has a name of \(name.utf8.count) bytes")
    }
    do { items.append((TensorName(name), try layout())) } catch var error as BessemerError {
      error.message = "parameter \(quoted(name)): \(error.message)"
      throw error
    }
  }
}

// MARK: JSON

extension StrategyFile {
  private mutating func read(_ root: JSON) throws {
    if let operators = try root.optional("parallel_strategy_item")?.asObject(),
      let first = operators.first(where: { _ in true })
    {
      stage = try first.value.optional("stage")?.asInt(in: 0...Int(UInt32.max)) ?? 0
    }
    for (name, item) in try root.required("parallel_layout_item").asObject() {
      try add(name) {
        let devices = try item.required("dev_matrix").asArray().map { try $0.asInt() }
        let axes = try item.required("tensor_map").asArray().map { entry in
          entry.kind == .array ? try entry.asArray().map { try $0.asInt() } : [try entry.asInt()]
        }
        let step = try item.optional("opt_weight_shard_step")?.asInt() ?? 0
        let size = try item.optional("opt_weight_shard_size")?.asInt() ?? 0
        return try ParameterLayout(
          devices: devices, axes: axes.map { $0.filter { $0 != -1 } }, optimizerSize: step == 0 ? 0 : size)
      }
    }
  }
}

// MARK: Protobuf

extension StrategyFile {
  private mutating func read(_ message: ByteReader) throws {
    var fields = WireReader(message)
    var hasStage = false
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      switch field.number {
      case 2 where !hasStage:
        stage = try StrategyFile.stage(value)
        hasStage = true
      case 3: try addLayout(value)
      default: break
      }
    }
  }

  private static func stage(_ message: ByteReader) throws -> Int {
    var (fields, stage) = (WireReader(message), 0)
    while let field = try fields.next() {
      guard field.number == 2, case .bytes(let value) = field.value else { continue }
      var inner = WireReader(value)
      while let field = try inner.next() {
        if case (1, .varint(let number)) = (field.number, field.value) {
          stage = Int(UInt32(truncatingIfNeeded: number))
        }
      }
    }
    return stage
  }

  private mutating func addLayout(_ message: ByteReader) throws {
    var fields = WireReader(message)
    var name: String?
    var layout: ByteReader?
    while let field = try fields.next() {
      guard case .bytes(var value) = field.value else { continue }
      if field.number == 1 { name = try value.text(value.remaining, "a name") }
      if field.number == 2 { layout = value }
    }
    guard let name, let layout else {
      throw BessemerError(.strategy, "a layout at byte \(message.byteOffset) lacks its name or its content")
    }
    try add(name) { try StrategyFile.layout(layout) }
  }

  private static func layout(_ message: ByteReader) throws -> ParameterLayout {
    var fields = WireReader(message)
    var devices: [Int]?
    var maps: [[Int]] = []
    var (step, size) = (0, 0)
    while let field = try fields.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let value)): devices = try devices ?? numbers(value)
      case (2, .bytes(let value)):
        guard maps.count <= ParameterLayout.maximumRank else { throw BessemerError(.limit, "too many dimensions") }
        maps.append(try numbers(value))
      case (6, .varint(let number)): step = Int(Int32(truncatingIfNeeded: number))
      case (7, .varint(let number)): size = Int(Int32(truncatingIfNeeded: number))
      default: break
      }
    }
    guard let devices, let first = maps.first else {
      throw BessemerError(.strategy, "lacks its devices, or what cuts its dimensions")
    }
    // A list for each dimension, or one list of one axis for each.
    let axes = maps.count > 1 ? maps.filter { !$0.isEmpty } : first.map { [$0] }
    return try ParameterLayout(
      devices: devices, axes: axes.map { $0.filter { $0 != -1 } }, optimizerSize: step == 0 ? 0 : size)
  }

  /// The numbers of a list, of 32 bits with a sign.
  private static func numbers(_ message: ByteReader) throws -> [Int] {
    var numbers: [Int] = []
    func add(_ number: UInt64) throws {
      guard numbers.count < ParameterLayout.maximumRank else {
        throw BessemerError(.limit, "more than \(ParameterLayout.maximumRank) axes of devices, or dimensions")
      }
      numbers.append(Int(Int32(truncatingIfNeeded: number)))
    }
    var fields = WireReader(message)
    while let field = try fields.next() {
      switch (field.number, field.value) {
      case (1, .varint(let number)): try add(number)
      case (1, .bytes(var packed)): while !packed.isAtEnd { try add(packed.varint("a number")) }
      default: break
      }
    }
    return numbers
  }
}
