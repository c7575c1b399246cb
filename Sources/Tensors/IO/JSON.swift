/// A value of a JSON document: strict RFC 8259 text in UTF-8, with no duplicate keys, no byte order mark and no lone
/// surrogates.
///
/// Values share one parsed document and are cheap to copy. Nothing is converted before it is asked for; every value
/// knows its byte offset and, for messages, its path.
///
/// ```swift
/// let config = try JSON.parse(bytes)
/// let width = try config.required("hidden_size").asInt()
/// for (name, entry) in config.members { … }
/// ```
public struct JSON: Sendable {
  /// What a value is. Numbers written without fraction and exponent are ``integer``, all others ``float``.
  public enum Kind: Sendable {
    case null, bool, integer, float, string, array, object
  }

  /// What a document may take, checked while it is parsed.
  public struct Limits: Sendable {
    /// Bytes of text; never more than 4 GiB - 1.
    public var byteCount = Int(UInt32.max)
    /// Arrays and objects inside each other.
    public var depth = 64
    /// Bytes of one string as it is written.
    public var stringByteCount = Int.max
    /// Values and keys together; each takes 16 bytes of memory.
    public var nodeCount = 1 << 26

    public init() {}

    public init(byteCount: Int = Int(UInt32.max), stringByteCount: Int = .max, nodeCount: Int = 1 << 26) {
      self.byteCount = byteCount
      self.stringByteCount = stringByteCount
      self.nodeCount = nodeCount
    }
  }

  let document: JSONDocument
  let index: Int

  init(_ document: JSONDocument, at index: Int) {
    self.document = document
    self.index = index
  }

  /// Parses a whole document. Throws ``ErrorCode/json`` with the byte offset and what was expected there,
  /// or ``ErrorCode/limit``.
  public static func parse(_ bytes: Bytes, limits: Limits = Limits()) throws -> JSON {
    JSON(try JSONDocument(bytes, limits: limits), at: 0)
  }

  public static func parse(_ bytes: [UInt8], limits: Limits = Limits()) throws -> JSON {
    try parse(Bytes(bytes), limits: limits)
  }

  public static func parse(_ bytes: UnsafeRawBufferPointer, limits: Limits = Limits()) throws -> JSON {
    try parse(Bytes(bytes), limits: limits)
  }

  public static func parse(_ text: String, limits: Limits = Limits()) throws -> JSON {
    try parse(Bytes(Array(text.utf8)), limits: limits)
  }

  private var node: JSONNode { document.tape[index] }

  public var kind: Kind {
    switch node.kind {
    case .null: .null
    case .true, .false: .bool
    case .int, .uint: .integer
    case .float: .float
    case .string: .string
    case .array: .array
    case .object: .object
    }
  }

  /// Where the value starts in the text.
  public var byteOffset: Int { Int(node.offset) }

  public var isNull: Bool { node.kind == .null }

  public var bool: Bool? {
    switch node.kind {
    case .true: true
    case .false: false
    default: nil
    }
  }

  /// The integer, if it is written as one and fits; `64.0` is none, see ``integralInt``.
  public var int: Int? {
    switch node.kind {
    case .int: Int(Int64(bitPattern: node.payload))
    default: nil
    }
  }

  /// The integer, if it is written as one, is not negative and fits in 64 bits.
  public var uint64: UInt64? {
    switch node.kind {
    case .int: UInt64(exactly: Int64(bitPattern: node.payload))
    case .uint: node.payload
    default: nil
    }
  }

  /// The integer, also when it is written as `64.0` or `6.4e1`.
  public var integralInt: Int? {
    if node.kind == .float { return double.flatMap { Int(exactly: $0) } }
    return int
  }

  /// The number, correctly rounded; infinite when it is beyond the range.
  public var double: Double? {
    switch node.kind {
    case .int: Double(Int64(bitPattern: node.payload))
    case .uint: Double(node.payload)
    case .float: document.double(at: index)
    default: nil
    }
  }

  /// The string without its escapes. Swift compares strings by canonical equivalence; compare `utf8` where bytes count.
  public var string: String? { node.kind == .string ? document.string(at: index) : nil }

  /// Whether this is a string of these bytes; makes no string of it.
  public func isString(_ wanted: String) -> Bool { node.kind == .string && document.isString(wanted, at: index) }

  /// The number of elements or members; zero for a scalar.
  public var count: Int {
    switch node.kind {
    case .array, .object: node.childCount
    default: 0
    }
  }

  /// The member of an object with this key (compared by bytes), or nil. A `null` is returned as a JSON null.
  public subscript(key: String) -> JSON? {
    guard node.kind == .object else { return nil }
    return document.member(key, of: index).map { JSON(document, at: $0) }
  }

  /// The element of an array; nil outside. Takes time in proportion to `position`: iterate ``elements`` instead of
  /// indexing.
  public subscript(position: Int) -> JSON? {
    guard node.kind == .array, position >= 0, position < count else { return nil }
    var child = index + 1
    for _ in 0..<position { child = document.tape[child].next(after: child) }
    return JSON(document, at: child)
  }

  /// The elements of an array in order; empty for any other value.
  public var elements: Elements { Elements(document, first: index + 1, count: node.kind == .array ? count : 0) }

  /// The members of an object in the order of the text; empty for any other value.
  public var members: Members { Members(document, first: index + 1, count: node.kind == .object ? count : 0) }

  /// The elements of an array.
  public struct Elements: Sequence, IteratorProtocol, Sendable {
    private let document: JSONDocument
    private var position: Int
    private var remaining: Int

    init(_ document: JSONDocument, first: Int, count: Int) {
      self.document = document
      position = first
      remaining = count
    }

    public var underestimatedCount: Int { remaining }

    public mutating func next() -> JSON? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      defer { position = document.tape[position].next(after: position) }
      return JSON(document, at: position)
    }
  }

  /// The members of an object.
  public struct Members: Sequence, IteratorProtocol, Sendable {
    private let document: JSONDocument
    private var position: Int
    private var remaining: Int

    init(_ document: JSONDocument, first: Int, count: Int) {
      self.document = document
      position = first
      remaining = count
    }

    public var underestimatedCount: Int { remaining }

    public mutating func next() -> (key: String, value: JSON)? {
      guard remaining > 0 else { return nil }
      remaining -= 1
      let value = JSON(document, at: position + 1)
      let key = document.string(at: position)
      position = document.tape[position + 1].next(after: position + 1)
      return (key, value)
    }
  }
}
