internal import CYaml
internal import Tensors

/// Walks the events of libyaml, which knows the syntax, and builds the values.
struct YAMLParser {
  private var parser = yaml_parser_t()
  private var nodeCount = 0
  private var depth = 0
  private let readsAliases: Bool
  /// Values that aliases may stand for, and how many values they hold.
  private var anchors: [TensorName: (value: YAML, nodeCount: Int)] = [:]

  private init(readsAliases: Bool) { self.readsAliases = readsAliases }

  /// What an event is, taken out of libyaml's memory.
  private enum Event {
    case scalar(String, isPlain: Bool, line: Int, anchor: TensorName?)
    case sequenceStart(line: Int, anchor: TensorName?)
    case mappingStart(line: Int, anchor: TensorName?)
    case alias(TensorName, line: Int)
    case end
    case other
  }

  /// Unsafe: libyaml keeps the pointer to `text`, which stays until the parser is deleted here.
  static func parse(_ text: UnsafeRawBufferPointer, aliases: Bool) throws -> YAML {
    var parser = YAMLParser(readsAliases: aliases)
    guard yaml_parser_initialize(&parser.parser) == 1 else { throw BessemerError(.memory, "no memory to read YAML") }
    defer { yaml_parser_delete(&parser.parser) }
    let empty: [UInt8] = [0]
    return try empty.withUnsafeBufferPointer { nothing in
      let start = text.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? nothing.baseAddress
      yaml_parser_set_input_string(&parser.parser, start, text.count)
      return try parser.document()
    }
  }

  private mutating func document() throws -> YAML {
    // The starts of the stream and of the document.
    guard case .other = try next(), case .other = try next(), let value = try value(try next()) else {
      throw BessemerError(.yaml, "the file is empty, expected YAML")
    }
    guard case .end = try next(), case .end = try next() else {
      throw BessemerError(.yaml, "the file has more than one document, expected one")
    }
    return value
  }

  /// The value that starts with an event; nil when that ends one.
  private mutating func value(_ event: Event) throws -> YAML? {
    let before = nodeCount
    try count(1)
    let (value, anchor): (YAML, TensorName?)
    switch event {
    case .scalar(let text, let isPlain, let line, let name):
      (value, anchor) = (YAML(content: .scalar(text, isPlain: isPlain), line: line), name)
    case .sequenceStart(let line, let name):
      value = try nested(line) { parser in
        var elements: [YAML] = []
        while let element = try parser.value(try parser.next()) { elements.append(element) }
        return YAML(content: .sequence(elements), line: line)
      }
      anchor = name
    case .mappingStart(let line, let name): (value, anchor) = (try nested(line) { try $0.mapping(line) }, name)
    case .alias(let name, let line):
      guard let known = anchors[name] else {
        throw BessemerError(.yaml, "line \(line): nothing is called \(quoted(name.string)) before")
      }
      try count(known.nodeCount)
      return known.value
    case .end, .other: return nil
    }
    if let anchor { anchors[anchor] = (value, nodeCount - before) }
    return value
  }

  private mutating func count(_ nodes: Int) throws {
    nodeCount += nodes
    guard nodeCount <= YAML.maximumNodeCount else {
      throw BessemerError(.limit, "more than \(YAML.maximumNodeCount) values in a YAML file")
    }
    if nodeCount & 0xFFF == 0 { try Interrupt.check() }
  }

  private mutating func mapping(_ start: Int) throws -> YAML {
    var members: [(key: String, line: Int, value: YAML)] = []
    var keys: Set<TensorName> = []
    while true {
      let event = try next()
      if case .end = event { return YAML(content: .mapping(members), line: start) }
      guard case .scalar(let key, _, let line, _) = event else {
        throw BessemerError(.yaml, "line \(start): a key that is no text")
      }
      guard keys.insert(TensorName(key)).inserted else {
        throw BessemerError(.yaml, "line \(line): the key \(quoted(key)) occurs twice")
      }
      guard let value = try value(try next()) else { throw BessemerError(.yaml, "line \(line): a key without a value") }
      members.append((key, line, value))
    }
  }

  private mutating func nested(_ line: Int, _ body: (inout YAMLParser) throws -> YAML) throws -> YAML {
    depth += 1
    guard depth <= YAML.maximumDepth else {
      throw BessemerError(.limit, "line \(line): values nested deeper than \(YAML.maximumDepth)")
    }
    defer { depth -= 1 }
    return try body(&self)
  }

  private mutating func next() throws -> Event {
    var event = yaml_event_t()
    guard yaml_parser_parse(&parser, &event) == 1 else {
      if parser.error == YAML_MEMORY_ERROR { throw BessemerError(.memory, "no memory to read YAML") }
      let what = parser.problem.map { String(cString: $0) } ?? "no YAML"
      // Errors of the text's encoding have no line but a byte.
      let place =
        parser.error == YAML_READER_ERROR ? "byte \(parser.problem_offset)" : "line \(parser.problem_mark.line + 1)"
      throw BessemerError(.yaml, "\(place): \(what)")
    }
    defer { yaml_event_delete(&event) }
    let line = Int(event.start_mark.line) + 1
    func refuse(_ what: String) -> BessemerError {
      BessemerError(.yaml, "line \(line): \(what), which is not read; write the value out")
    }
    func name(_ anchor: UnsafeMutablePointer<yaml_char_t>?) throws -> TensorName? {
      guard let anchor else { return nil }
      guard readsAliases else { throw refuse("an anchor") }
      return TensorName(String(cString: anchor))
    }
    switch event.type {
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      guard scalar.tag == nil else { throw refuse("a tag") }
      let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      guard let text = String(validating: bytes, as: UTF8.self) else { throw refuse("a text that is no UTF-8") }
      return .scalar(
        text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE, line: line, anchor: try name(scalar.anchor))
    case YAML_SEQUENCE_START_EVENT:
      guard event.data.sequence_start.tag == nil else { throw refuse("a tag") }
      return .sequenceStart(line: line, anchor: try name(event.data.sequence_start.anchor))
    case YAML_MAPPING_START_EVENT:
      guard event.data.mapping_start.tag == nil else { throw refuse("a tag") }
      return .mappingStart(line: line, anchor: try name(event.data.mapping_start.anchor))
    case YAML_ALIAS_EVENT:
      guard readsAliases, let alias = try name(event.data.alias.anchor) else { throw refuse("an alias") }
      return .alias(alias, line: line)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT, YAML_DOCUMENT_END_EVENT, YAML_STREAM_END_EVENT: return .end
    default: return .other
    }
  }
}
