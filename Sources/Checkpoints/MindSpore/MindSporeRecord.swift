internal import Tensors

/// One record: a parameter, a slice of one, or a hash table (`MapParameter`).
struct MindSporeRecord {
  /// A tensor as its record describes it.
  struct Part {
    let type: String
    let dims: [Int]
    /// Where the bytes stand in the source.
    let content: Range<Int>
  }

  let name: TensorName
  /// One tensor; of a table its keys, values and states.
  let parts: [Part]
  let isTable: Bool
  /// Where the record starts.
  let byteOffset: Int

  /// Tensors of a hash table, and what is added to its name for each.
  static let tableSuffixes = [".keys", ".values", ".status"]

  /// Reads a record. As protobuf has it, fields come in any order, the last of several counts, unknown ones do not.
  init(_ message: RecordReader, at start: Int) throws {
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "the record at byte \(start) \(what)")
    }
    var tag: RecordReader?
    var tensor: TensorFields?
    var table: [RecordReader]?
    var fields = WireReader(message)
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      switch field.number {
      case 1: tag = value
      case 2:
        table = nil
        var merged = tensor ?? TensorFields()
        try merged.read(value)
        tensor = merged
      case 3:
        tensor = nil
        table = try (table ?? []) + MindSporeRecord.tensors(of: value)
        guard table?.count ?? 0 <= MindSporeRecord.tableSuffixes.count else {
          throw refuse(.tensorEntry, "is a hash table of more than keys, values and states")
        }
      default: break
      }
    }
    guard let tag, !tag.isAtEnd else { throw refuse(.tensorEntry, "lacks a name") }
    guard tag.remaining <= MindSporeCheckpoint.maximumNameByteCount else {
      throw refuse(.limit, "has a name of \(tag.remaining) bytes")
    }
    name = TensorName(try tag.text("a name"))
    isTable = table != nil
    if let table {
      guard table.count == MindSporeRecord.tableSuffixes.count else {
        throw refuse(.tensorEntry, "is a hash table of \(table.count) tensors, expected keys, values and states")
      }
      parts = try table.map { message in
        var fields = TensorFields()
        try fields.read(message)
        return try fields.part(refuse)
      }
    } else {
      guard let tensor else { throw refuse(.tensorEntry, "lacks its tensor") }
      parts = [try tensor.part(refuse)]
    }
    byteOffset = start
  }

  private static func tensors(of message: RecordReader) throws -> [RecordReader] {
    var tensors: [RecordReader] = []
    var fields = WireReader(message)
    while let field = try fields.next() {
      guard field.number == 1, case .bytes(let value) = field.value else { continue }
      // One more than there may be tells the caller enough.
      if tensors.count <= tableSuffixes.count { tensors.append(value) }
    }
    return tensors
  }
}

/// The fields of a tensor, as far as they were read.
private struct TensorFields {
  private var dims: [Int] = []
  private var type: RecordReader?
  private var content: RecordReader?

  mutating func read(_ message: RecordReader) throws {
    var fields = WireReader(message)
    while let field = try fields.next() {
      switch (field.number, field.value) {
      case (1, .varint(let dim)): try add(dim)
      case (1, .bytes(var packed)): while !packed.isAtEnd { try add(packed.varint("a dimension")) }
      case (2, .bytes(let value)): type = value
      case (3, .bytes(let value)): content = value
      default: break
      }
    }
  }

  /// The tensor, whose fields must all be there; `refuse` makes an error of what is wrong with it.
  func part(_ refuse: (ErrorCode, String) -> BessemerError) throws -> MindSporeRecord.Part {
    guard let type, let content else { throw refuse(.tensorEntry, "lacks its \(type == nil ? "type" : "content")") }
    guard type.remaining <= 64 else { throw refuse(.unsupportedType, "has a type name of \(type.remaining) bytes") }
    return MindSporeRecord.Part(type: try type.text("a type"), dims: dims, content: content.range)
  }

  private mutating func add(_ dim: UInt64) throws {
    guard let size = Int(exactly: dim) else {
      throw BessemerError(.tensorEntry, "a dimension of a parameter is \(Int64(bitPattern: dim)), expected 0 or more")
    }
    guard dims.count < MindSporeCheckpoint.maximumRank else {
      throw BessemerError(.limit, "a parameter has more than \(MindSporeCheckpoint.maximumRank) dimensions")
    }
    dims.append(size)
  }
}
