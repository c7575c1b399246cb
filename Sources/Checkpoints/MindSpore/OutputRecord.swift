internal import Tensors

/// A parameter, text or hash table to write.
struct OutputRecord: Sendable {
  /// A tensor of the record, with its type and dimensions as the file spells them.
  struct Part: Sendable {
    let entry: CheckpointEntry
    let type: String
    let dims: [Int]
    let byteCount: Int

    /// The fields before `contentByteCount` bytes of content.
    func fields(_ contentByteCount: Int) -> [UInt8] {
      var bytes: [UInt8] = []
      for dim in dims { bytes += [0x08] + varint(dim) }
      return bytes + [0x12] + varint(type.utf8.count) + type.utf8 + [0x1A] + varint(contentByteCount)
    }
  }

  let name: TensorName
  /// One tensor, or the three of a table.
  let parts: [Part]

  var isTable: Bool { parts.count > 1 }

  /// What stands before the bytes of a slice of a parameter.
  func header(_ sliceByteCount: Int) -> [UInt8] {
    let fields = parts[0].fields(sliceByteCount)
    return start([0x12] + varint(fields.count + sliceByteCount) + fields, followedBy: sliceByteCount)
  }

  /// For each tensor of a table what stands before its bytes.
  func tableHeaders() -> [[UInt8]] {
    let headers = parts.map { part in
      let fields = part.fields(part.byteCount)
      return [0x0A] + varint(fields.count + part.byteCount) + fields
    }
    let byteCount = zip(headers, parts).reduce(0) { $0 + $1.0.count + $1.1.byteCount }
    let first = headers[0]
    return [
      start([0x1A] + varint(byteCount) + first, followedBy: byteCount - first.count)
    ] + headers.dropFirst()
  }

  /// The start of a record: lengths, the name, and these bytes.
  private func start(_ bytes: [UInt8], followedBy rest: Int) -> [UInt8] {
    let name = Array(name.string.utf8)
    let value = [0x0A] + varint(name.count) + name + bytes
    return [0x0A] + varint(value.count + rest) + value
  }

  /// Bytes that the record, with all its slices, takes in the file; nil when they are too many.
  func fileByteCount(_ sliceByteCount: Int) -> Int? {
    guard !isTable else {
      return zip(tableHeaders(), parts).reduce(Int?(0)) { sum, item in
        sum.flatMap { CheckedSize.sum($0, item.0.count) }.flatMap { CheckedSize.sum($0, item.1.byteCount) }
      }
    }
    let (whole, rest) = parts[0].byteCount.quotientAndRemainder(dividingBy: sliceByteCount)
    let headers =
      (whole > 0 ? whole * header(sliceByteCount).count : 0) + (rest > 0 || whole == 0 ? header(rest).count : 0)
    return CheckedSize.sum(parts[0].byteCount, headers)
  }

  func write(to sink: any ByteSink, _ sliceByteCount: Int) throws {
    guard isTable else { return try parts[0].entry.write(to: SliceSink(self, sink, sliceByteCount)) }
    for (header, part) in zip(tableHeaders(), parts) {
      try sink.write(header)
      try part.entry.write(to: sink)
    }
  }
}

/// A number of 0 or more in base 128.
private func varint(_ number: Int) -> [UInt8] {
  var (rest, bytes) = (UInt64(number), [UInt8]())
  while rest >= 0x80 {
    bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
    rest >>= 7
  }
  return bytes + [UInt8(truncatingIfNeeded: rest)]
}

/// Takes the bytes of one parameter, and puts a header before each slice.
private final class SliceSink: ByteSink {
  private let record: OutputRecord
  private let byteCount: Int
  private let sink: any ByteSink
  private let sliceByteCount: Int
  private(set) var position = 0

  /// Writes the header of a parameter without bytes.
  init(_ record: OutputRecord, _ sink: any ByteSink, _ sliceByteCount: Int) throws {
    self.record = record
    byteCount = record.parts[0].byteCount
    self.sink = sink
    self.sliceByteCount = sliceByteCount
    if byteCount == 0 { try sink.write(record.header(0)) }
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
    guard position < byteCount else {
      throw BessemerError(.outputFailed, "tensor \(quoted(record.name.string)) has too many bytes")
    }
    let filled = position % sliceByteCount
    if filled == 0 { try sink.write(record.header(min(sliceByteCount, byteCount - position))) }
    return min(sliceByteCount - filled, byteCount - position)
  }
}
