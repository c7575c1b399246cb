import Tensors

extension Graph {
  /// Reads the text form. Result types are inferred and must be what the text says.
  /// Throws ``ErrorCode/graphText`` with line and column, or ``ErrorCode/graph`` with the broken constraint.
  public init(text: String, registry: OpRegistry = .standard) throws {
    var parser = GraphParser(Array(text.utf8), registry)
    self = try parser.parse()
  }
}

/// A recursive-descent parser over bytes; nothing nests deeper than an attribute list.
struct GraphParser {
  let bytes: [UInt8]
  private let registry: OpRegistry
  var at = 0
  /// Where the piece begins that an error would be about.
  var token = 0
  private var graph = Graph(name: "")
  private var values = ValueNumbers()
  var types = TextCache<TensorType>()
  private var ops = TextCache<any Op>()

  init(_ bytes: [UInt8], _ registry: OpRegistry) {
    self.bytes = bytes
    self.registry = registry
  }

  mutating func parse() throws -> Graph {
    try expect("graph")
    graph.name = try string()
    try expect("{")
    while !accept("}") {
      if peek(UInt8(ascii: "%")) {
        try parseNode()
      } else {
        switch try word() {
        case "input": try parseInput()
        case "state": try parseState()
        case "update": try parseUpdate()
        case "output":
          let name = try string()
          guard !graph.outputs.contains(where: { $0.name == name }) else { throw error("output \(quoted(name)) twice") }
          try expect("=")
          graph.addOutput(name, try use())
        case let other: throw error("expected input, state, update, output or a value, found \(quoted(other))")
        }
      }
    }
    skipSpace()
    token = at
    guard at == bytes.count else { throw error("text after the graph") }
    return graph
  }

  // MARK: Statements

  private mutating func parseInput() throws {
    let number = try definition()
    let name = try string()
    guard graph.input(named: name) == nil else { throw error("input \(quoted(name)) twice") }
    try expect(":")
    let type = try type()
    var initial: InputDefault?
    if accept("=") {
      let text = try word()
      guard let value = InputDefault(rawValue: text) else { throw error("unknown default \(quoted(text))") }
      initial = value
    }
    values[number] = graph.addInput(name, type, initial: initial)
  }

  private mutating func parseState() throws {
    let number = try definition()
    let name = try string()
    guard !graph.states.contains(where: { $0.name == name }) else { throw error("state \(quoted(name)) twice") }
    try expect(":")
    let type = try type()
    let start = at
    let attributes = try attributes()
    token = start
    guard case .int(let axis)? = attributes["axis"], case .int(let capacity)? = attributes["capacity"],
      axis >= 0, axis < type.rank, capacity > 0
    else { throw error("a state needs an axis inside its type and a positive capacity") }
    values[number] = graph.addState(name, type, axis: axis, capacity: capacity)
  }

  private mutating func parseUpdate() throws {
    let name = try string()
    guard let state = graph.states.first(where: { $0.name == name }) else { throw error("no state \(quoted(name))") }
    try expect("=")
    graph.setUpdate(try use(), of: state.value)
  }

  private mutating func parseNode() throws {
    skipSpace()
    let start = at
    var numbers = [try definition()]
    while accept(",") { numbers.append(try definition()) }
    try expect("=")
    skipSpace()
    let nameStart = at
    let name = try word()
    let nameEnd = at
    var operands: [ValueID] = []
    if accept("(") {
      repeat { operands.append(try use()) } while accept(",")
      try expect(")")
    }
    let op = try parseOp(name, nameStart..<nameEnd)
    try expect(":")
    var declared = [try type()]
    while accept(",") { declared.append(try type()) }
    skipSpace()
    let label = peek(UInt8(ascii: "\"")) ? try string() : ""
    let results: [ValueID]
    token = start
    do { results = try graph.add(op, operands, name: label) } catch {
      throw BessemerError(.graph, "\(position): \(error)")
    }
    guard results.count == numbers.count, results.map({ graph.type(of: $0) }) == declared else {
      let inferred = results.map { graph.type(of: $0).description }.joined(separator: ", ")
      throw BessemerError(.graph, "\(position): \(name) gives \(inferred), not what is written")
    }
    for (number, value) in zip(numbers, results) { values[number] = value }
  }

  /// The operator with its attribute list; equal texts are decoded once.
  private mutating func parseOp(_ name: String, _ nameRange: Range<Int>) throws -> any Op {
    let hasAttributes = peek(UInt8(ascii: "{"))
    // No two weights are alike.
    if hasAttributes, name == Weight.name {
      let attributes = try attributes()
      token = nameRange.lowerBound
      return try make(name, attributes)
    }
    let start = at
    if hasAttributes { try skipAttributes() }
    let key = TextKey(bytes, nameRange, start..<at)
    if let op = ops.value(for: key, in: bytes) { return op }
    at = start
    let attributes = hasAttributes ? try attributes() : [:]
    token = nameRange.lowerBound
    let op = try make(name, attributes)
    ops.insert(op, for: key)
    return op
  }

  private func make(_ name: String, _ attributes: Attributes) throws -> any Op {
    guard let type = registry[name] else {
      throw BessemerError(.unsupportedOp, "\(position): unknown operator \(quoted(name))")
    }
    do { return try type.init(attributes: attributes) } catch let error as AttributeError {
      throw BessemerError(.graphText, "\(position): \(name): \(error.description)")
    }
  }

  // MARK: Pieces

  private mutating func definition() throws -> Int {
    let number = try valueNumber()
    guard values[number] == nil else { throw error("%\(number) is defined twice") }
    return number
  }

  private mutating func use() throws -> ValueID {
    let number = try valueNumber()
    guard let value = values[number] else { throw error("%\(number) is not defined before its use") }
    return value
  }

  private mutating func valueNumber() throws -> Int {
    skipSpace()
    token = at
    try expect("%")
    let start = at
    var number = 0
    while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9"), at - start < 10 {
      number = number * 10 + Int(bytes[at] - UInt8(ascii: "0"))
      at += 1
    }
    guard at > start, number <= Int32.max else { throw error("expected a value number") }
    return number
  }
}
