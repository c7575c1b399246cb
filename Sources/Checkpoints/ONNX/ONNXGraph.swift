internal import Tensors

/// Walks a graph and the graphs inside its nodes for tensors: initializers, dense and sparse, and the values of
/// `Constant` nodes. What the graph says of names and operators is checked on the way.
struct ONNXGraph {
  /// Graphs inside each other.
  static let maximumDepth = 100
  /// Nodes and tensors of a model.
  static let maximumCount = 1_000_000

  private let path: String
  private let operators: ONNXOperators
  private var files: ONNXFiles
  private(set) var store = TensorStore()
  private var count = 0
  private var limit: ExpansionLimit

  init(path: String, fileByteCount: Int, functions: [ONNXFunction]) throws {
    self.path = path
    operators = ONNXOperators(functions: functions)
    files = try ONNXFiles(of: path)
    limit = ExpansionLimit(fileByteCount: fileByteCount)
  }

  /// Names that values have in a graph and in those around it, with their element types, 0 if not known.
  final class Scope {
    private let outer: Scope?
    private let depth: Int
    /// What stands before the names of tensors.
    let prefix: String
    private var types: [TensorName: Int] = [:]

    /// Throws ``ErrorCode/limit`` when graphs are too deep inside each other.
    init(in outer: Scope? = nil, prefix: String = "") throws {
      self.outer = outer
      self.prefix = prefix
      depth = outer.map { $0.depth + 1 } ?? 0
      guard depth < ONNXGraph.maximumDepth else {
        throw BessemerError(.limit, "graphs more than \(ONNXGraph.maximumDepth) deep")
      }
      guard prefix.utf8.count <= 4096 else { throw BessemerError(.limit, "a name of \(prefix.utf8.count) bytes") }
    }

    /// The element type of a value; nil if it may not be used.
    func type(_ name: String) -> Int? {
      var scope: Scope? = self
      while let current = scope {
        if let type = current.types[TensorName(name)] { return type }
        scope = current.outer
      }
      return nil
    }

    /// Adds a value; throws ``ErrorCode/duplicateName`` when the graph has it already.
    func define(_ name: String, _ what: String, type: Int = 0) throws {
      guard !name.isEmpty, types.updateValue(type, forKey: TensorName(name)) == nil else {
        throw BessemerError(.duplicateName, "the \(what) \(quoted(name)) has no name, or one that occurs twice")
      }
    }

    /// Adds a value that may be there already: an input with a default.
    func add(_ name: TensorName, type: Int) { if types[name] == nil { types[name] = type } }
  }

  // MARK: Graphs

  /// The tensors of a graph. Values are used behind where they are made.
  mutating func read(_ message: ByteReader, in scope: Scope) throws {
    var inputs: [TensorName: Int] = [:]
    // Initializers and inputs may stand behind the nodes that use them.
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard case .bytes(let content) = value else { continue }
      switch number {
      case 5:
        let tensor = try ONNXTensor(content)
        try scope.define(tensor.name, "initializer", type: tensor.type)
        try add(tensor, scope.prefix + tensor.name)
      case 15:
        let sparse = try ONNXSparse(content) { try files.window($0, $1) }
        try scope.define(sparse.name, "initializer")
        try take(sparse.entry(TensorName(scope.prefix + sparse.name), file: path))
      case 11:
        let (name, type) = try ONNXGraph.value(content)
        guard !name.isEmpty, inputs.updateValue(type, forKey: TensorName(name)) == nil else {
          throw BessemerError(.duplicateName, "the input \(quoted(name)) has no name, or one that occurs twice")
        }
      default: break
      }
    }
    for (input, type) in inputs { scope.add(input, type: type) }
    var outputs: [(name: String, type: Int)] = []
    fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard case .bytes(let content) = value else { continue }
      if number == 1 { try readNode(content, scope) }
      if number == 12 { outputs.append(try ONNXGraph.value(content)) }
    }
    for (output, type) in outputs {
      guard let made = scope.type(output) else {
        throw BessemerError(.graph, "nothing makes the output \(quoted(output)) of a graph")
      }
      guard made == type || made == 0 || type == 0 else {
        throw BessemerError(.graph, "the output \(quoted(output)) of a graph is of another element type than it says")
      }
    }
  }

  /// The name and the element type in a `ValueInfoProto`; 0 for what is no tensor.
  private static func value(_ message: ByteReader) throws -> (name: String, type: Int) {
    var fields = WireReader(message)
    var (name, type) = ("", 0)
    while let (number, value) = try fields.next() {
      guard case .bytes(var content) = value else { continue }
      if number == 1 { name = try content.text(content.remaining, "the name of a value") }
      if number == 2 { type = try elementType(content) }
    }
    return (name, type)
  }

  /// The element type in a `TypeProto`.
  private static func elementType(_ message: ByteReader) throws -> Int {
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard number == 1, case .bytes(let tensor) = value else { continue }
      var fields = WireReader(tensor)
      while let (number, value) = try fields.next() {
        if number == 1, case .varint(let type) = value { return Int(truncatingIfNeeded: type) }
      }
    }
    return 0
  }

  // MARK: Nodes

  private mutating func readNode(_ message: ByteReader, _ scope: Scope) throws {
    try tick()
    let node = try ONNXNode(message)
    let inputTypes = try node.inputs.map { input in
      if input.isEmpty { return 0 }
      guard let type = scope.type(input) else {
        throw BessemerError(.graph, "node \(quoted(node.title)) uses \(quoted(input)), which nothing before it makes")
      }
      return type
    }
    let outputTypes = try operators.outputTypes(node, inputTypes: inputTypes)
    for attribute in node.attributes { try read(attribute, of: node, scope) }
    for (output, type) in zip(node.outputs, outputTypes) where !output.isEmpty {
      try scope.define(output, "value", type: type)
    }
  }

  private mutating func read(_ attribute: ONNXAttribute, of node: ONNXNode, _ scope: Scope) throws {
    let isConstant = node.operation == "Constant" && ["", "ai.onnx"].contains(node.domain)
    let output = scope.prefix + (node.outputs.first ?? "")
    for message in attribute.tensors {
      let tensor = try ONNXTensor(message)
      if isConstant, attribute.name == "value" {
        try add(tensor, output)
      } else if tensor.type != ONNXTensor.textType {
        // No weight, but its data may lead out of the folder.
        _ = try tensor.content { try files.window($0, $1) }
      }
    }
    for message in attribute.sparseTensors {
      let sparse = try ONNXSparse(message) { try files.window($0, $1) }
      if isConstant { try take(sparse.entry(TensorName(output), file: path)) }
    }
    for graph in attribute.graphs {
      try read(graph, in: Scope(in: scope, prefix: output + "/" + attribute.name + "/"))
    }
  }

  /// Nodes of a function are no graph, but their constants are tensors.
  mutating func read(_ function: ONNXFunction) throws {
    let scope = try Scope(prefix: function.title + "/")
    for input in function.inputs { try scope.define(input, "input") }
    for node in function.nodes { try readNode(node, scope) }
  }

  // MARK: Tensors

  private mutating func add(_ tensor: ONNXTensor, _ name: String) throws {
    let content = try tensor.content { try files.window($0, $1) }
    try take(content.entry(TensorName(name), tensor.dtype(), shape: tensor.dims, file: path))
  }

  private mutating func take(_ entry: TensorStore.Entry) throws {
    try tick()
    limit.add(fileByteCount: files.takeNewByteCount())
    try limit.take(entry.byteCount)
    try store.append(entry)
  }

  private mutating func tick() throws {
    count += 1
    if count & 0xFFF == 0 { try Interrupt.check() }
    guard count <= ONNXGraph.maximumCount else {
      throw BessemerError(.limit, "more than \(ONNXGraph.maximumCount) nodes and tensors")
    }
  }
}
