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
  private let bytes: [UInt8]
  private let registry: OpRegistry
  private var at = 0
  private var graph = Graph(name: "")
  private var values: [Int: ValueID] = [:]
  private var types: [ArraySlice<UInt8>: TensorType] = [:]
  private var ops: [ArraySlice<UInt8>: any Op] = [:]

  /// The most dimensions a type may have.
  static let maximumRank = 32

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
    let attributes = try attributes()
    guard case .int(let axis)? = attributes["axis"], case .int(let capacity)? = attributes["capacity"],
      axis >= 0, axis < type.rank, capacity > 0
    else { throw error("a state needs an axis inside its type and a positive capacity") }
    values[number] = graph.addState(name, type, axis: axis, capacity: capacity)
  }

  private mutating func parseUpdate() throws {
    let name = try string()
    try expect("=")
    let value = try use()
    guard let state = graph.states.first(where: { $0.name == name }) else { throw error("no state \(quoted(name))") }
    graph.setUpdate(value, of: state.value)
  }

  private mutating func parseNode() throws {
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
    skipSpace()
    let start = at
    var attributes: Attributes = [:]
    if peek(UInt8(ascii: "{")) {
      try skipAttributes()
      let key = bytes[nameRange] + bytes[start..<at]
      if let op = ops[key] { return op }
      at = start
      attributes = try self.attributes()
      let op = try make(name, attributes)
      ops[key] = op
      return op
    }
    if let op = ops[bytes[nameRange]] { return op }
    let op = try make(name, attributes)
    ops[bytes[nameRange]] = op
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
    try expect("%")
    guard let number = Int(digits()), number <= Int32.max else { throw error("expected a value number") }
    return number
  }

  private mutating func type() throws -> TensorType {
    skipSpace()
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "]") { at += 1 }
    at = min(at + 1, bytes.count)
    let text = bytes[start..<at]
    if let type = types[text] { return type }
    at = start
    let type = try parseType()
    types[text] = type
    return type
  }

  private mutating func parseType() throws -> TensorType {
    let name = try word()
    guard let dtype = DType(rawValue: name) else { throw error("unknown type \(quoted(name))") }
    try expect("[")
    var dims: [Dim] = []
    if !accept("]") {
      repeat {
        skipSpace()
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: ","), bytes[at] != UInt8(ascii: "]"), at - start < 256 {
          at += 1
        }
        guard let text = String(validating: bytes[start..<at], as: UTF8.self), isDimension(text) else {
          throw error("bad dimension")
        }
        dims.append(Int(text).map { .known($0) } ?? .symbol(text))
      } while accept(",") && dims.count <= GraphParser.maximumRank
      try expect("]")
    }
    guard dims.count <= GraphParser.maximumRank else { throw error("more than \(GraphParser.maximumRank) dimensions") }
    return TensorType(dtype, dims)
  }

  private func isDimension(_ text: String) -> Bool {
    if let number = Int(text) { return number >= 0 && number <= 1 << 48 }
    return !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"),
          UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }

  private mutating func attributes() throws -> Attributes {
    try expect("{")
    var result: Attributes = [:]
    if accept("}") { return result }
    repeat {
      let name = try word()
      try expect("=")
      guard result.updateValue(try attribute(), forKey: name) == nil else { throw error("attribute \(name) twice") }
    } while accept(",")
    try expect("}")
    return result
  }

  /// Moves past a brace-enclosed list, minding strings.
  private mutating func skipAttributes() throws {
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\"") {
        _ = try string()
        continue
      }
      at += 1
      if bytes[at - 1] == UInt8(ascii: "}") { return }
    }
    throw error("an attribute list does not end")
  }

  private mutating func attribute() throws -> Attribute {
    skipSpace()
    guard at < bytes.count else { throw error("expected an attribute's value") }
    switch bytes[at] {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "["):
      at += 1
      if accept("]") { return .ints([]) }
      var numbers: [Attribute] = []
      repeat { numbers.append(try number()) } while accept(",")
      try expect("]")
      let ints = numbers.compactMap { if case .int(let x) = $0 { x } else { nil } }
      if ints.count == numbers.count { return .ints(ints) }
      return .floats(
        numbers.map {
          switch $0 {
          case .int(let x): Double(x)
          case .float(let x): x
          default: .nan
          }
        })
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default:
      let start = at
      let name = try word()
      switch name {
      case "true": return .bool(true)
      case "false": return .bool(false)
      case "inf", "nan":
        at = start
        return try number()
      default:
        at = start
        return .tensor(try tensor())
      }
    }
  }

  private mutating func number() throws -> Attribute {
    skipSpace()
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        at += 1
        continue
      default: break
      }
      break
    }
    guard at - start <= 64, let text = String(validating: bytes[start..<at], as: UTF8.self) else {
      throw error("bad number")
    }
    if let value = Int(text) { return .int(value) }
    guard let value = Double(text) else { throw error("bad number \(quoted(text))") }
    return .float(value)
  }

  private mutating func tensor() throws -> Tensor {
    let type = try type()
    guard let shape = type.shape, let count = Tensor.elementCount(of: shape), count <= bytes.count - at,
      let byteCount = type.dtype.byteCount(of: count)
    else { throw error("a constant needs a known shape and all its values") }
    try expect("(")
    if at + 1 < bytes.count, bytes[at] == UInt8(ascii: "0"), bytes[at + 1] == UInt8(ascii: "x") {
      at += 2
      let start = at
      while at < bytes.count, bytes[at] != UInt8(ascii: ")") { at += 1 }
      guard at - start == 2 * byteCount else { throw error("expected \(byteCount) bytes in hexadecimal") }
      let raw = stride(from: start, to: at, by: 2).compactMap {
        String(validating: bytes[$0..<$0 + 2], as: UTF8.self).flatMap { UInt8($0, radix: 16) }
      }
      try expect(")")
      return try Tensor(type.dtype, shape: shape, bytes: Bytes(raw))
    }
    var doubles: [Double] = []
    var integers: [Int64] = []
    if !accept(")") {
      repeat {
        skipSpace()
        switch try number() {
        case .int(let x):
          integers.append(Int64(x))
          doubles.append(Double(x))
        case .float(let x): doubles.append(x)
        default: break
        }
      } while accept(",")
      try expect(")")
    }
    guard doubles.count == count else { throw error("expected \(count) values, found \(doubles.count)") }
    if type.dtype.isInteger, integers.count == count { return try Tensor(type.dtype, shape: shape, integers: integers) }
    return try Tensor(type.dtype, shape: shape, doubles: doubles)
  }

  // MARK: Tokens

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"): at += 1
      case UInt8(ascii: "#"): while at < bytes.count, bytes[at] != UInt8(ascii: "\n") { at += 1 }
      default: return
      }
    }
  }

  private mutating func peek(_ byte: UInt8) -> Bool {
    skipSpace()
    return at < bytes.count && bytes[at] == byte
  }

  private mutating func accept(_ text: StaticString) -> Bool {
    skipSpace()
    let count = text.utf8CodeUnitCount
    guard bytes.count - at >= count else { return false }
    for k in 0..<count where bytes[at + k] != text.utf8Start[k] { return false }
    at += count
    return true
  }

  private mutating func expect(_ text: StaticString) throws {
    guard accept(text) else { throw error("expected '\(text)'") }
  }

  private mutating func digits() -> String {
    let start = at
    while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9"), at - start < 12 { at += 1 }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  /// Letters, digits, `_` and `.`.
  private mutating func word() throws -> String {
    skipSpace()
    let start = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"), UInt8(ascii: "."):
        at += 1
        continue
      default: break
      }
      break
    }
    guard at > start else { throw error("expected a word") }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func string() throws -> String {
    try expect("\"")
    var result: [UInt8] = []
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: result, as: UTF8.self) else { throw error("a string is not UTF-8") }
        return text
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { break }
        at += 1
        switch bytes[at - 1] {
        case UInt8(ascii: "n"): result.append(UInt8(ascii: "\n"))
        case UInt8(ascii: "u"):
          try expect("{")
          let start = at
          while at < bytes.count, bytes[at] != UInt8(ascii: "}"), at - start < 8 { at += 1 }
          guard let value = UInt32(String(decoding: bytes[start..<at], as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(value)
          else { throw error("bad \\u{} escape") }
          try expect("}")
          result += String(scalar).utf8
        case let other: result.append(other)
        }
      default: result.append(byte)
      }
    }
    throw error("a string does not end")
  }

  /// `line 3, column 7`
  private var position: String {
    let before = bytes[..<min(at, bytes.count)]
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let column = before.count - (before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0) + 1
    return "line \(line), column \(column)"
  }

  private func error(_ message: String) -> BessemerError { BessemerError(.graphText, "\(position): \(message)") }
}
