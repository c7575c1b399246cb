public import Tensors

extension MindSporeCheckpoint {
  /// Bytes of all tensors of a hash table, which is one message of protobuf.
  private static let maximumTableByteCount = Int(Int32.max) - (1 << 16)

  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    var problems: [String] = []
    let tables = HashTables(entries, metadata)
    var names: Set<TensorName> = []
    for entry in entries {
      names.insert(entry.name)
      if let table = tables.table(of: entry.name) {
        if table.first == entry.name, let problem = tables.problem(table, limit: Self.maximumTableByteCount) {
          problems.append("\(problem) (hash table \(quoted(table.name.string)))")
        }
      } else if let problem = problem(entry) {
        problems.append("\(problem) (tensor \(quoted(entry.name.string)))")
      }
      if let mark = metadata[entry.name], mark != MindSporeTypes.packedInt4 || entry.dtype != .int8 {
        problems.append("a text and a tensor of the same name \(quoted(entry.name.string))")
      }
    }
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) where !names.contains(key) {
      if key.string.isEmpty || key.string.utf8.count > MindSporeCheckpoint.maximumNameByteCount {
        problems.append("a text of the name \(quoted(key.string))")
      } else if value.unicodeScalars.count > MindSporeCheckpoint.maximumTextByteCount / 4
        || value.unicodeScalars.last == "\0"
      {
        problems.append("the text \(quoted(key.string)), which is too long or ends with a NUL")
      }
    }
    return problems
  }

  private func problem(_ entry: CheckpointEntry) -> String? {
    guard MindSporeTypes.name(entry.dtype) != nil, entry.byteCount != nil else {
      return "\(TensorType(entry.dtype, shape: entry.shape))"
    }
    // Readers take the dimension 0 alone for a scalar.
    if entry.shape == [0] { return "an empty vector" }
    if entry.shape.count > MindSporeCheckpoint.maximumRank { return "\(entry.shape.count) dimensions" }
    let name = entry.name.string.utf8.count
    return name == 0 || name > MindSporeCheckpoint.maximumNameByteCount ? "a name of \(name) bytes" : nil
  }

  public func writing(with options: WriteOptions) throws -> MindSporeCheckpoint {
    guard !options.writesChecksum || options.encryption == nil else {
      throw BessemerError(.usage, "MindSpore does not load encrypted checkpoints with a checksum; leave out --crc")
    }
    var copy = self
    copy.writesChecksum = options.writesChecksum
    copy.encryption = options.encryption
    return copy
  }

  /// The tensors in the given order, then the metadata as texts by name.
  public func layout(_ entries: [CheckpointEntry], metadata: [TensorName: String]) throws -> FileLayout {
    let records = try records(entries, metadata)
    let plainByteCount = records.reduce(Int?(writesChecksum ? MindSporeCheckpoint.trailerByteCount : 0)) {
      sum, record in
      sum.flatMap { sum in record.fileByteCount(sliceByteCount).flatMap { CheckedSize.sum(sum, $0) } }
    }
    let byteCount = plainByteCount.flatMap { count in
      encryption.map { EncryptingSink.byteCount(of: count, $0.mode) } ?? count
    }
    guard let byteCount else { throw BessemerError(.limit, "the checkpoint takes more than 2^63 bytes") }
    return FileLayout(byteCount: byteCount) { file in
      guard let encryption else { return try write(records, to: file) }
      let sink = try EncryptingSink(encryption, file)
      try write(records, to: sink)
      try sink.finish()
    }
  }

  private func write(_ records: [OutputRecord], to sink: any ByteSink) throws {
    let sum = writesChecksum ? ChecksumSink(sink) : nil
    for record in records {
      try Interrupt.check()
      try record.write(to: sum ?? sink, sliceByteCount)
    }
    guard let sum else { return }
    let crc = UInt64(sum.crc.value)
    try sink.write(
      MindSporeCheckpoint.trailerMark + (0..<10).map { $0 < 2 ? 0 : UInt8(truncatingIfNeeded: crc >> ((9 - $0) * 8)) })
  }

  /// All records in their order; a table stands where the first of its tensors does.
  private func records(_ entries: [CheckpointEntry], _ metadata: [TensorName: String]) throws -> [OutputRecord] {
    let tables = HashTables(entries, metadata)
    let parameters: [OutputRecord] = try entries.compactMap { entry in
      if let table = tables.table(of: entry.name) {
        return table.first == entry.name ? OutputRecord(name: table.name, parts: try tables.parts(table)) : nil
      }
      guard let name = MindSporeTypes.name(entry.dtype), let byteCount = entry.byteCount else {
        throw BessemerError(.unsupportedType, "MindSpore has no type \(entry.dtype)")
      }
      let type = metadata[entry.name] == MindSporeTypes.packedInt4 ? MindSporeTypes.packedInt4 : name
      return OutputRecord(
        name: entry.name, parts: [.init(entry: entry, type: type, dims: entry.shape, byteCount: byteCount)])
    }
    let names = Set(entries.map(\.name))
    let texts = metadata.filter { !names.contains($0.key) && !tables.contains($0.key) }
    return parameters + texts.sorted { $0.key < $1.key }.map { record($0.key, text: $0.value) }
  }

  private func record(_ name: TensorName, text: String) -> OutputRecord {
    // An empty text is one NUL, as NumPy has it.
    let scalars = text.isEmpty ? [0] : text.unicodeScalars.map(\.value)
    let bytes = Bytes(scalars.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } })
    let entry = CheckpointEntry(name, .uint8, shape: [bytes.count]) { try $0.write(bytes) }
    return OutputRecord(
      name: name, parts: [.init(entry: entry, type: MindSporeTypes.text, dims: [0], byteCount: bytes.count)])
  }
}

/// The hash tables among tensors: those marked in the metadata whose three tensors are all there.
private struct HashTables {
  struct Table {
    let name: TensorName
    let parts: [CheckpointEntry]
    /// The tensor that comes first in the given order.
    let first: TensorName
  }

  private var tables: [TensorName: Table] = [:]
  /// By each of their tensors the table's name.
  private var owners: [TensorName: TensorName] = [:]

  init(_ entries: [CheckpointEntry], _ metadata: [TensorName: String]) {
    let marked = metadata.filter { $0.value == MindSporeTypes.tableMark }.map(\.key)
    guard !marked.isEmpty else { return }
    let indices = Dictionary(entries.indices.map { (entries[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    for name in marked where indices[name] == nil {
      let found = MindSporeRecord.tableSuffixes.compactMap { indices[TensorName(name.string + $0)] }
      guard found.count == MindSporeRecord.tableSuffixes.count, let first = found.min() else { continue }
      tables[name] = Table(name: name, parts: found.map { entries[$0] }, first: entries[first].name)
      for index in found { owners[entries[index].name] = name }
    }
  }

  func contains(_ name: TensorName) -> Bool { tables[name] != nil }

  /// The table that a tensor belongs to.
  func table(of tensor: TensorName) -> Table? { owners[tensor].flatMap { tables[$0] } }

  /// What keeps a table from being written.
  func problem(_ table: Table, limit: Int) -> String? {
    for part in table.parts {
      guard MindSporeTypes.tableName(part.dtype) != nil, part.byteCount != nil else {
        return "\(TensorType(part.dtype, shape: part.shape)) in a hash table"
      }
    }
    let rows = table.parts.map { $0.shape.first }
    guard rows[0] != nil, rows.allSatisfy({ $0 == rows[0] }) else { return "tensors that differ in number" }
    let byteCount = table.parts.reduce(0) { min($0, limit) + min($1.byteCount ?? 0, limit) }
    return byteCount < limit ? nil : "more than 2 GiB"
  }

  func parts(_ table: Table) throws -> [OutputRecord.Part] {
    try table.parts.map { entry in
      guard let type = MindSporeTypes.tableName(entry.dtype), let byteCount = entry.byteCount else {
        throw BessemerError(.unsupportedType, "MindSpore's hash tables have no type \(entry.dtype)")
      }
      return OutputRecord.Part(entry: entry, type: type, dims: entry.shape, byteCount: byteCount)
    }
  }
}
