internal import Tensors

/// Walks the records of a checkpoint, joining those that follow each other under the same name.
struct MindSporeParser {
  private let path: String
  private var store = TensorStore()
  private var names: Set<TensorName> = []
  /// The parameter whose slices are being collected.
  private var run: Run?

  init(path: String) { self.path = path }

  /// Slices of a parameter.
  private struct Run {
    let record: MindSporeRecord
    var pieces: [Bytes]
    var byteCount: Int
  }

  /// The parameters of a file without its trailer.
  consuming func parse(_ content: Bytes) throws -> TensorStore {
    var parser = self
    var fields = WireReader(ByteReader(content))
    var count = 0
    while true {
      let start = fields.byteOffset
      guard let field = try fields.next() else { break }
      guard field.number == 1, case .bytes(let message) = field.value else { continue }
      count += 1
      guard count <= MindSporeCheckpoint.maximumRecordCount else {
        throw BessemerError(.limit, "more than \(MindSporeCheckpoint.maximumRecordCount) parameters and slices")
      }
      if count & 0xFFF == 0 { try Interrupt.check() }
      try parser.add(MindSporeRecord(message, at: start))
    }
    try parser.finishRun()
    guard count > 0 else { throw BessemerError(.wrongFormat, "holds no parameter, expected a MindSpore checkpoint") }
    return parser.store
  }

  private mutating func add(_ record: MindSporeRecord) throws {
    if let current = run, current.record.name == record.name {
      guard current.record.type == record.type, current.record.dims == record.dims else {
        throw BessemerError(
          .tensorLayout,
          "the slices of parameter \(quoted(record.name.string)) differ in type or dimensions, "
            + "at byte \(record.byteOffset)")
      }
      guard record.type != MindSporeTypes.text else { throw duplicate(record.name) }
      // Windows of the file cannot overlap, so the sum cannot overflow.
      run?.byteCount += record.content.count
      run?.pieces.append(record.content)
      return
    }
    try finishRun()
    guard names.insert(record.name).inserted else { throw duplicate(record.name) }
    run = Run(record: record, pieces: [record.content], byteCount: record.content.count)
  }

  private func duplicate(_ name: TensorName) -> BessemerError {
    BessemerError(.duplicateName, "parameter \(quoted(name.string)) occurs twice")
  }

  private mutating func finishRun() throws {
    guard let run else { return }
    self.run = nil
    let record = run.record
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "parameter \(quoted(record.name.string)) at byte \(record.byteOffset) \(what)")
    }
    if record.type == MindSporeTypes.text {
      guard let text = try record.text() else { throw refuse(.tensorEntry, "is a text that is no UTF-32") }
      store.metadata[record.name] = text
      return
    }
    guard let dtype = MindSporeTypes.dtype(record.type) else {
      throw refuse(.unsupportedType, "has the unknown type \(quoted(record.type))")
    }
    // Old writers give a scalar the dimension 0.
    let shape = record.dims == [0] ? [] : record.dims
    guard let byteCount = Tensor.byteCount(dtype, shape: shape), byteCount == run.byteCount else {
      throw refuse(
        .tensorLayout, "of type \(record.type)\(record.dims) does not take the \(run.byteCount) bytes it has")
    }
    if record.type == MindSporeTypes.packedInt4 { store.metadata[record.name] = MindSporeTypes.packedInt4 }
    let pieces = run.pieces
    if pieces.count == 1 {
      let window = pieces[0]
      try store.append(TensorStore.Entry(record.name, dtype, shape: shape, file: path) { window })
    } else {
      try store.append(
        TensorStore.Entry(record.name, dtype, shape: shape, file: path) { body in
          for piece in pieces { try body(piece) }
        })
    }
  }
}

/// One record: a parameter or a slice of one.
struct MindSporeRecord {
  let name: TensorName
  let type: String
  let dims: [Int]
  let content: Bytes
  /// Where the record starts.
  let byteOffset: Int

  /// Reads a record. As protobuf has it, fields come in any order, the last of several counts, unknown ones do not.
  init(_ message: ByteReader, at start: Int) throws {
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "the record at byte \(start) \(what)")
    }
    var tag: ByteReader?
    var tensor: TensorFields?
    var isTable = false
    var fields = WireReader(message)
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      switch field.number {
      case 1: tag = value
      case 2:
        isTable = false
        var merged = tensor ?? TensorFields()
        try merged.read(value)
        tensor = merged
      case 3:
        isTable = true
        tensor = nil
      default: break
      }
    }
    guard var tag, !tag.isAtEnd else { throw refuse(.tensorEntry, "lacks a name") }
    guard tag.remaining <= MindSporeCheckpoint.maximumNameByteCount else {
      throw refuse(.limit, "has a name of \(tag.remaining) bytes")
    }
    name = TensorName(try tag.text(tag.remaining, "a name"))
    guard !isTable else {
      throw BessemerError(
        .unsupportedFeature, "parameter \(quoted(name.string)) at byte \(start) is a hash table, which is not read")
    }
    guard let tensor, var type = tensor.type, var content = tensor.content else {
      throw refuse(.tensorEntry, "lacks its \(tensor == nil ? "tensor" : tensor?.type == nil ? "type" : "content")")
    }
    guard type.remaining <= 64 else { throw refuse(.unsupportedType, "has a type name of \(type.remaining) bytes") }
    self.type = try type.text(type.remaining, "a type")
    dims = tensor.dims
    self.content = try content.take(content.remaining, "content")
    byteOffset = start
  }

  /// The content as text; nil when it is none. NumPy fills up with zeros, which are dropped.
  func text() throws -> String? {
    guard content.count > 0, content.count % 4 == 0, dims.isEmpty || dims == [0] else { return nil }
    guard content.count <= MindSporeCheckpoint.maximumTextByteCount else {
      throw BessemerError(.limit, "the text \(quoted(name.string)) takes \(content.count) bytes")
    }
    var reader = ByteReader(content)
    var scalars = String.UnicodeScalarView()
    while !reader.isAtEnd {
      guard let scalar = Unicode.Scalar(try reader.integer(UInt32.self, "a character")) else { return nil }
      scalars.append(scalar)
    }
    while scalars.last == "\0" { scalars.removeLast() }
    return String(scalars)
  }
}

/// The fields of a tensor, as far as they were read.
private struct TensorFields {
  var dims: [Int] = []
  var type: ByteReader?
  var content: ByteReader?

  mutating func read(_ message: ByteReader) throws {
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
