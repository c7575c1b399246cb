internal import Tensors

/// Walks the records of a checkpoint, joining those that follow each other under the same name.
struct MindSporeParser {
  private let path: String
  private let source: any RecordSource
  private var store = TensorStore()
  private var names: Set<TensorName> = []
  /// The parameter whose slices are being collected.
  private var run: Run?

  init(path: String, source: any RecordSource) {
    self.path = path
    self.source = source
  }

  /// Slices of a parameter, or of a table.
  private struct Run {
    let record: MindSporeRecord
    /// For each tensor its pieces, and their bytes.
    var pieces: [[Range<Int>]]
    var byteCounts: [Int]
    /// For each tensor of a table the rows of all slices.
    var rowCounts: [Int]

    init(_ record: MindSporeRecord) {
      self.record = record
      pieces = record.parts.map { [$0.content] }
      byteCounts = record.parts.map(\.content.count)
      rowCounts = record.parts.map { $0.dims.first ?? 0 }
    }

    /// Adds a slice; whether it belongs to the others.
    mutating func add(_ other: MindSporeRecord) -> Bool {
      guard other.isTable == record.isTable else { return false }
      for (k, (mine, part)) in zip(record.parts, other.parts).enumerated() {
        guard part.type == mine.type, part.dims.count == mine.dims.count,
          record.isTable ? part.dims.dropFirst() == mine.dims.dropFirst() : part.dims == mine.dims
        else { return false }
        // Windows of the source cannot overlap, so their sum cannot overflow.
        pieces[k].append(part.content)
        byteCounts[k] += part.content.count
        guard record.isTable else { continue }
        guard let rows = part.dims.first.flatMap({ CheckedSize.sum(rowCounts[k], $0) }) else { return false }
        rowCounts[k] = rows
      }
      return true
    }
  }

  /// The parameters of the source.
  consuming func parse() throws -> TensorStore {
    var parser = self
    var fields = WireReader(RecordReader(parser.source))
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
    if run?.record.name == record.name {
      guard run?.add(record) ?? false else {
        throw BessemerError(
          .tensorLayout,
          "the slices of parameter \(quoted(record.name.string)) differ in type or dimensions, "
            + "at byte \(record.byteOffset)")
      }
      guard record.parts[0].type != MindSporeTypes.text else { throw duplicate(record.name) }
      return
    }
    try finishRun()
    guard names.insert(record.name).inserted else { throw duplicate(record.name) }
    run = Run(record)
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
    if record.isTable { return try finishTable(run, refuse) }
    let part = record.parts[0]
    if part.type == MindSporeTypes.text {
      guard let text = try text(part, record.name) else { throw refuse(.tensorEntry, "is a text that is no UTF-32") }
      store.metadata[record.name] = text
      return
    }
    guard let dtype = MindSporeTypes.dtype(part.type) else {
      throw refuse(.unsupportedType, "has the unknown type \(quoted(part.type))")
    }
    if part.type == MindSporeTypes.packedInt4 { store.metadata[record.name] = MindSporeTypes.packedInt4 }
    // Old writers give a scalar the dimension 0.
    try append(record.name, dtype, part.dims == [0] ? [] : part.dims, part, run, 0, refuse)
  }

  /// A table becomes three tensors, and a mark in the metadata.
  private mutating func finishTable(_ run: Run, _ refuse: (ErrorCode, String) -> BessemerError) throws {
    for (k, part) in run.record.parts.enumerated() {
      guard let dtype = MindSporeTypes.tableDType(part.type) else {
        throw refuse(.unsupportedType, "is a hash table of the unknown type \(quoted(part.type))")
      }
      guard !part.dims.isEmpty, run.rowCounts[k] == run.rowCounts[0] else {
        throw refuse(.tensorLayout, "is a hash table whose keys, values and states differ in number")
      }
      let name = TensorName(run.record.name.string + MindSporeRecord.tableSuffixes[k])
      try append(name, dtype, [run.rowCounts[k]] + part.dims.dropFirst(), part, run, k, refuse)
    }
    store.metadata[run.record.name] = MindSporeTypes.tableMark
  }

  private mutating func append(
    _ name: TensorName, _ dtype: DType, _ shape: [Int], _ part: MindSporeRecord.Part, _ run: Run, _ index: Int,
    _ refuse: (ErrorCode, String) -> BessemerError
  ) throws {
    guard let byteCount = Tensor.byteCount(dtype, shape: shape), byteCount == run.byteCounts[index] else {
      throw refuse(
        .tensorLayout, "of type \(part.type)\(shape) does not take the \(run.byteCounts[index]) bytes it has")
    }
    let pieces = run.pieces[index]
    guard let content = (source as? PlainRecords)?.content else {
      return try store.append(
        TensorStore.Entry(name, dtype, shape: shape, file: path, lazy: RecordPieces(source, pieces)))
    }
    if pieces.count == 1 {
      let window = content[pieces[0]]
      try store.append(TensorStore.Entry(name, dtype, shape: shape, file: path) { window })
    } else {
      try store.append(
        TensorStore.Entry(name, dtype, shape: shape, file: path) { body in
          for piece in pieces { try body(content[piece]) }
        })
    }
  }

  /// The content as text; nil when it is none. NumPy fills up with zeros, which are dropped.
  private func text(_ part: MindSporeRecord.Part, _ name: TensorName) throws -> String? {
    guard part.content.count > 0, part.content.count % 4 == 0, part.dims.isEmpty || part.dims == [0] else {
      return nil
    }
    guard part.content.count <= MindSporeCheckpoint.maximumTextByteCount else {
      throw BessemerError(.limit, "the text \(quoted(name.string)) takes \(part.content.count) bytes")
    }
    var reader = ByteReader(try source.bytes(part.content))
    var scalars = String.UnicodeScalarView()
    while !reader.isAtEnd {
      guard let scalar = Unicode.Scalar(try reader.integer(UInt32.self, "a character")) else { return nil }
      scalars.append(scalar)
    }
    while scalars.last == "\0" { scalars.removeLast() }
    return String(scalars)
  }
}
