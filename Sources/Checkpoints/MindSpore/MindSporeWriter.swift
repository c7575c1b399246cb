public import Tensors

extension MindSporeCheckpoint {
  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    var problems: [String] = []
    var names: Set<TensorName> = []
    for entry in entries {
      names.insert(entry.name)
      if let problem = problem(entry) { problems.append("\(problem) (tensor \(quoted(entry.name.string)))") }
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

  /// Writes the tensors in the given order, then the metadata as texts by name.
  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) { try check(entries, metadata: metadata) }
    let all = try entries.map { try record($0, metadata) } + texts(metadata, besides: entries)
    var byteCount = writesChecksum ? MindSporeCheckpoint.trailerByteCount : 0
    for record in all {
      guard let sum = CheckedSize.sum(byteCount, record.fileByteCount(sliceByteCount)) else {
        throw BessemerError(.limit, "the checkpoint takes more than 2^63 bytes", file: path)
      }
      byteCount = sum
    }
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: byteCount) { file in
      let sum = writesChecksum ? ChecksumSink(file) : nil
      for record in all {
        try Interrupt.check()
        try record.entry.write(to: RecordSink(record, sum ?? file, sliceByteCount))
      }
      guard let sum else { return }
      let crc = UInt64(sum.crc.value)
      try file.write(
        MindSporeCheckpoint.trailerMark + (0..<10).map { $0 < 2 ? 0 : UInt8(truncatingIfNeeded: crc >> ((9 - $0) * 8)) }
      )
    }
  }

  private func record(_ entry: CheckpointEntry, _ metadata: [TensorName: String]) throws -> OutputRecord {
    guard let name = MindSporeTypes.name(entry.dtype), let byteCount = entry.byteCount else {
      throw BessemerError(.unsupportedType, "MindSpore has no type \(entry.dtype)")
    }
    let isPacked = metadata[entry.name] == MindSporeTypes.packedInt4
    return OutputRecord(
      entry: entry, type: isPacked ? MindSporeTypes.packedInt4 : name, dims: entry.shape, byteCount: byteCount)
  }

  private func texts(_ metadata: [TensorName: String], besides entries: [CheckpointEntry]) -> [OutputRecord] {
    let names = Set(entries.map(\.name))
    return metadata.sorted { $0.key < $1.key }.filter { !names.contains($0.key) }.map { key, value in
      // An empty text is one NUL, as NumPy has it.
      let scalars = value.isEmpty ? [0] : value.unicodeScalars.map(\.value)
      let bytes = Bytes(scalars.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } })
      let entry = CheckpointEntry(key, .uint8, shape: [bytes.count]) { try $0.write(bytes) }
      return OutputRecord(entry: entry, type: MindSporeTypes.text, dims: [0], byteCount: bytes.count)
    }
  }
}

/// A parameter or text to write.
private struct OutputRecord {
  let entry: CheckpointEntry
  let type: String
  let dims: [Int]
  let byteCount: Int

  /// What stands before the bytes of a slice.
  func header(_ sliceByteCount: Int) -> [UInt8] {
    var tensor: [UInt8] = []
    for dim in dims { tensor += [0x08] + varint(dim) }
    tensor += [0x12] + varint(type.utf8.count) + type.utf8 + [0x1A] + varint(sliceByteCount)
    let name = Array(entry.name.string.utf8)
    let value = [0x0A] + varint(name.count) + name + [0x12] + varint(tensor.count + sliceByteCount) + tensor
    return [0x0A] + varint(value.count + sliceByteCount) + value
  }

  /// Bytes that all slices take in the file.
  func fileByteCount(_ sliceByteCount: Int) -> Int {
    let whole = byteCount / sliceByteCount
    let rest = byteCount % sliceByteCount
    var total = byteCount + (whole > 0 ? whole * header(sliceByteCount).count : 0)
    if rest > 0 || whole == 0 { total += header(rest).count }
    return total
  }

  private func varint(_ number: Int) -> [UInt8] {
    var (rest, bytes) = (UInt64(number), [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(truncatingIfNeeded: rest)]
  }
}

/// Takes the bytes of one record, and puts a header before each slice.
private final class RecordSink: ByteSink {
  private let record: OutputRecord
  private let sink: any ByteSink
  private let sliceByteCount: Int
  private(set) var position = 0

  /// Writes the header of the first slice.
  init(_ record: OutputRecord, _ sink: any ByteSink, _ sliceByteCount: Int) throws {
    self.record = record
    self.sink = sink
    self.sliceByteCount = sliceByteCount
    if record.byteCount == 0 { try sink.write(record.header(0)) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      let count = min(try open(), bytes.count - done)
      try sink.write(UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]))
      done += count
      position += count
    }
  }

  func write(_ bytes: Bytes) throws {
    var done = 0
    while done < bytes.count {
      let count = min(try open(), bytes.count - done)
      try sink.write(bytes[done..<(done + count)])
      done += count
      position += count
    }
  }

  /// Bytes that the current slice can take; starts one when the last is full.
  private func open() throws -> Int {
    guard position < record.byteCount else {
      throw BessemerError(.outputFailed, "tensor \(quoted(record.entry.name.string)) has too many bytes")
    }
    let filled = position % sliceByteCount
    if filled == 0 { try sink.write(record.header(min(sliceByteCount, record.byteCount - position))) }
    return min(sliceByteCount - filled, record.byteCount - position)
  }
}
