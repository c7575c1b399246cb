internal import Tensors

/// Reads a pickle, protocols 0 to 5, into a ``PickleHeap``: plain values, containers, and tensors as ``PickleGlobal``
/// knows them. Every other opcode is refused by name, and nothing is ever run.
///
/// Source: Python's `pickletools`, which documents each opcode.
struct Unpickler {
  /// Bytes of a pickle.
  static let maximumByteCount = 64 << 20
  /// Values and marks that wait.
  static let maximumStackDepth = 1_000_000

  private(set) var heap = PickleHeap()
  private var reader: ByteReader
  private var stack: [Int32] = []
  /// Heights of the stack where marks stand.
  private var marks: [Int] = []
  private var memo: [Int: Int32] = [:]
  /// None, false and true, which all pickles share.
  private let constants: [Int32]
  /// Makes a storage of the items of a persistent id.
  private let persistent: (PickleHeap, [Int32]) throws -> PyTorchStorage

  /// `persistent` makes a storage of what a persistent id consists of.
  init(_ reader: ByteReader, persistent: @escaping (PickleHeap, [Int32]) throws -> PyTorchStorage) throws {
    self.reader = reader
    self.persistent = persistent
    constants = try [heap.add(.none), heap.add(.boolean(false)), heap.add(.boolean(true))]
  }

  /// Where the next pickle starts.
  var byteOffset: Int { reader.byteOffset }

  /// What follows the pickles.
  var rest: ByteReader { reader }

  /// The value of the next pickle. Values of earlier ones stay, their memo does not.
  mutating func load() throws -> Int32 {
    (stack, marks, memo) = ([], [], [:])
    var count = 0
    while true {
      let start = reader.byteOffset
      let code: UInt8 = try reader.integer(UInt8.self, "an opcode of the pickle")
      if code == PickleOpcode.stop.rawValue { return try pop(start) }
      do { try step(code, start) } catch let error as BessemerError {
        throw BessemerError(error.code, "\(error.message), at byte \(start) of the pickle")
      }
      guard stack.count + marks.count <= Unpickler.maximumStackDepth else {
        throw BessemerError(.limit, "the pickle keeps more than \(Unpickler.maximumStackDepth) values waiting")
      }
      count += 1
      if count & 0xFFFF == 0 { try Interrupt.check() }
    }
  }

  private mutating func step(_ code: UInt8, _ start: Int) throws {
    guard let opcode = PickleOpcode(rawValue: code) else {
      throw BessemerError(.pickle, "there is no opcode \(code)")
    }
    switch opcode {
    case .mark: marks.append(stack.count)
    case .pop: _ = try pop(start)
    case .popMark: _ = try popMark()
    case .duplicate: stack.append(try top())
    case .none: stack.append(constants[0])
    case .true: stack.append(constants[2])
    case .false: stack.append(constants[1])
    case .uint8: try push(.integer(Int(reader.integer(UInt8.self, "a number"))))
    case .uint16: try push(.integer(Int(reader.integer(UInt16.self, "a number"))))
    case .int32: try push(.integer(Int(reader.integer(Int32.self, "a number"))))
    case .long8: try push(wide(Int(reader.integer(UInt8.self, "the size of a number"))))
    case .long32: try push(wide(Int(reader.integer(Int32.self, "the size of a number"))))
    case .double: try push(.float(Double(bitPattern: reader.integer(UInt64.self, "a number").byteSwapped)))
    case .integer: try pushDecimal()
    case .long: try pushDecimal()
    case .float:
      guard let value = Double(try line()) else { throw malformed("a number") }
      try push(.float(value))
    case .text32: try pushText(Int(reader.integer(UInt32.self, "the size of a text")))
    case .text8: try pushText(Int(reader.integer(UInt8.self, "the size of a text")))
    case .text64: try pushText(reader.length("a text"))
    case .oldText32: try pushOldText(Int(reader.integer(Int32.self, "the size of a text")))
    case .oldText8: try pushOldText(Int(reader.integer(UInt8.self, "the size of a text")))
    case .unicode: try push(.text(heap.text(line())))
    case .text: try push(.text(heap.text(unquoted(line()))))
    case .bytes32: try skipBytes(Int(reader.integer(UInt32.self, "the size of bytes")))
    case .bytes8: try skipBytes(Int(reader.integer(UInt8.self, "the size of bytes")))
    case .bytes64, .byteArray: try skipBytes(reader.length("bytes"))
    case .emptyTuple: try push(.tuple(heap.container([])))
    case .emptyList: try push(.list(heap.container([])))
    case .emptyDictionary: try push(.dictionary(heap.container([])))
    case .emptySet: try push(.set(heap.container([])))
    case .tuple: try push(.tuple(heap.container(popMark())))
    case .list: try push(.list(heap.container(popMark())))
    case .frozenSet: try push(.set(heap.container(popMark())))
    case .dictionary:
      let content = try popMark()
      guard content.count % 2 == 0 else { throw malformed("a dictionary of pairs") }
      try push(.dictionary(heap.container(content)))
    case .tuple1: try pushTuple(1, start)
    case .tuple2: try pushTuple(2, start)
    case .tuple3: try pushTuple(3, start)
    case .append: try extend([pop(start)])
    case .appends, .addItems: try extend(popMark())
    case .setItem:
      let value = try pop(start)
      try setItems([pop(start), value])
    case .setItems: try setItems(popMark())
    case .put: try put(decimal())
    case .put8: try put(Int(reader.integer(UInt8.self, "a memo")))
    case .put32: try put(Int(reader.integer(UInt32.self, "a memo")))
    case .memoize: try put(memo.count)
    case .get: try get(decimal())
    case .get8: try get(Int(reader.integer(UInt8.self, "a memo")))
    case .get32: try get(Int(reader.integer(UInt32.self, "a memo")))
    case .global: try push(.global(PickleGlobal(module: line(), name: line())))
    case .stackGlobal:
      let name = try pop(start)
      guard let module = try heap.text(pop(start)), let name = heap.text(name) else { throw malformed("two names") }
      try push(.global(PickleGlobal(module: module, name: name)))
    case .reduce, .newObject:
      let arguments = try pop(start)
      stack.append(try heap.call(pop(start), arguments))
    case .build:
      let state = try pop(start)
      try build(state)
    case .persistent:
      guard let items = try heap.items(pop(start)) else { throw malformed("a persistent id that is a tuple") }
      let storage = try persistent(heap, items)
      try push(heap.storage(storage))
    case .protocol:
      let version = try reader.integer(UInt8.self, "the protocol")
      guard version <= 5 else { throw BessemerError(.unsupportedFeature, "pickle protocol \(version), expected 5") }
    case .frame: _ = try reader.length("a frame")
    case .stop: break
    case .instance:
      // Such an object is one of a class, whose name says more.
      _ = try PickleGlobal(module: line(), name: line())
      throw refusal(opcode)
    case .persistentText, .object, .extension8, .extension16, .extension32, .newObjectKeywords, .nextBuffer,
      .readOnlyBuffer:
      throw refusal(opcode)
    }
  }

  private func refusal(_ opcode: PickleOpcode) -> BessemerError {
    BessemerError(.unsupportedFeature, "the opcode \(opcode) is refused; nothing was run")
  }

  // MARK: The stack

  private mutating func push(_ value: PickleValue) throws { stack.append(try heap.add(value)) }

  private mutating func pop(_ start: Int) throws -> Int32 {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
      throw BessemerError(.pickle, "a value is missing at byte \(start)")
    }
    return value
  }

  private func top() throws -> Int32 {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw malformed("a value") }
    return value
  }

  private mutating func popMark() throws -> [Int32] {
    guard let mark = marks.popLast() else { throw malformed("a mark") }
    let content = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return content
  }

  private mutating func pushTuple(_ count: Int, _ start: Int) throws {
    guard stack.count - count >= marks.last ?? 0 else { throw malformed("\(count) values") }
    let content = stack.suffix(count)
    stack.removeLast(count)
    try push(.tuple(heap.container(content)))
  }

  private mutating func put(_ place: Int) throws {
    guard memo.count < Unpickler.maximumStackDepth || memo[place] != nil else {
      throw BessemerError(.limit, "the pickle remembers more than \(Unpickler.maximumStackDepth) values")
    }
    memo[place] = try top()
  }

  private mutating func get(_ place: Int) throws {
    guard let value = memo[place] else { throw malformed("memo \(place)") }
    stack.append(value)
  }

  // MARK: Containers

  private mutating func extend(_ content: [Int32]) throws {
    switch heap[try top()] {
    case .list(let place), .set(let place): try heap.append(content, to: place)
    default: throw malformed("a list")
    }
  }

  private mutating func setItems(_ content: [Int32]) throws {
    guard case .dictionary(let place) = heap[try top()], content.count % 2 == 0 else { throw malformed("a dictionary") }
    try heap.append(content, to: place)
  }

  /// The attributes of a dictionary are dropped, as the versions of modules that `state_dict` notes.
  private func build(_ state: Int32) throws {
    guard case .dictionary = heap[try top()], case .dictionary = heap[state] else {
      throw malformed("a dictionary and its attributes")
    }
  }

  // MARK: Numbers and texts

  private func malformed(_ expected: String) -> BessemerError {
    BessemerError(.pickle, "the pickle is malformed: expected \(expected)")
  }

  /// The text up to the end of the line.
  private mutating func line() throws -> String {
    var bytes: [UInt8] = []
    while true {
      let byte = try reader.integer(UInt8.self, "a line of the pickle")
      if byte == 10 { break }
      bytes.append(byte)
      guard bytes.count <= 4096 else { throw BessemerError(.limit, "the pickle has a line of more than 4096 bytes") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw malformed("UTF-8") }
    return text
  }

  private mutating func decimal() throws -> Int {
    guard let value = Int(try line()) else { throw malformed("a number") }
    return value
  }

  private mutating func pushDecimal() throws {
    var text = try line()
    if text.hasSuffix("L") { text.removeLast() }
    if text == "00" || text == "01" { return stack.append(constants[text == "01" ? 2 : 1]) }
    guard let value = Int(text) else { throw malformed("a number of 64 bits") }
    try push(.integer(value))
  }

  /// A whole number of `count` bytes, the lowest first, in two's complement.
  private mutating func wide(_ count: Int) throws -> PickleValue {
    let bytes = try reader.take(count, "a number").array
    guard count <= 8 else { return .wideInteger }
    let sign: UInt64 = bytes.last.map { $0 >= 0x80 } ?? false ? .max : 0
    return .integer(Int(truncatingIfNeeded: bytes.reversed().reduce(sign) { $0 << 8 | UInt64($1) }))
  }

  private mutating func pushText(_ count: Int) throws {
    try push(.text(heap.text(reader.text(count, "a text of the pickle"))))
  }

  /// A text of Python 2, which may be bytes.
  private mutating func pushOldText(_ count: Int) throws {
    let bytes = try reader.take(count, "a text of the pickle")
    guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
      return try push(.bytes)
    }
    try push(.text(heap.text(text)))
  }

  private mutating func skipBytes(_ count: Int) throws {
    try reader.skip(count, "bytes of the pickle")
    try push(.bytes)
  }

  /// A text of protocol 0 without its quotes; what is escaped in it is no name of a tensor and stays so.
  private func unquoted(_ text: String) throws -> String {
    guard text.count >= 2, let quote = text.first, quote == "'" || quote == "\"", text.last == quote else {
      throw malformed("a text between quotes")
    }
    return String(text.dropFirst().dropLast())
  }
}
