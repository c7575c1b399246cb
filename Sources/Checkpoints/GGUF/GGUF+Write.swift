public import Tensors

extension GGUF: WritableCheckpointFormat {
  public var keepsMetadata: Bool { true }

  /// Bytes of a tensor's name that ggml takes.
  static let maximumWrittenNameByteCount = 63
  /// Which layout of blocks a file has; said in every file with blocks.
  private static let quantizationVersion: (key: TensorName, text: String) = ("general.quantization_version", "u32:2")

  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    var problems = entries.compactMap { entry in
      problem(entry).map { "\($0) (tensor \(quoted(entry.name.string)))" }
    }
    for key in metadata.keys.sorted() {
      if key.string.isEmpty || key.string.utf8.count > GGUF.maximumNameByteCount {
        problems.append("a text of the name \(quoted(key.string))")
      } else if [GGUFSplit.keys.index, GGUFSplit.keys.count, GGUFSplit.keys.tensorCount].contains(key) {
        problems.append("the text \(quoted(key.string)), which would mark the file as a part of a model")
      }
    }
    if metadata.count >= GGUF.maximumMetadataCount { problems.append("\(metadata.count) texts") }
    if alignment(metadata) == nil {
      problems.append("the alignment \(quoted(metadata[GGUF.alignmentKey] ?? "")) of \"general.alignment\"")
    }
    return problems
  }

  private func problem(_ entry: CheckpointEntry) -> String? {
    let name = entry.name.string.utf8.count
    if name == 0 || name > GGUF.maximumWrittenNameByteCount { return "a name of \(name) bytes" }
    if entry.shape.count > GGUF.maximumRank { return "\(entry.shape.count) dimensions" }
    guard let type = entry.encoding else {
      return GGMLType.plain(entry.dtype).number == nil || entry.byteCount == nil
        ? "\(TensorType(entry.dtype, shape: entry.shape))" : nil
    }
    guard type.byteCount(shape: entry.shape) != nil, entry.dtype == .float32 else {
      return "\(TensorType(entry.dtype, shape: entry.shape)) as \(type.rawValue), whose blocks take "
        + "\(type.elementCount) float32 numbers of a row"
    }
    guard entry.isEncoded || BlockType.writable.contains(type) else {
      return "numbers as \(type.rawValue), which is only kept, not made"
    }
    return nil
  }

  private func alignment(_ metadata: [TensorName: String]) -> Int? {
    guard let text = metadata[GGUF.alignmentKey] else { return GGUF.defaultAlignment }
    guard let alignment = GGUFText.integer(text), (1...GGUF.maximumAlignment).contains(alignment),
      alignment & (alignment - 1) == 0
    else { return nil }
    return alignment
  }

  /// Writes version 3: the tensors in the given order, the metadata by key, `general` first.
  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) { try check(entries, metadata: metadata) }
    let alignment = alignment(metadata) ?? GGUF.defaultAlignment
    var offsets: [Int] = []
    var end = 0
    for entry in entries {
      offsets.append(end)
      guard let size = entry.storedByteCount, let next = CheckedSize.sum(end, size),
        let aligned = CheckedSize.aligned(next, to: alignment)
      else { throw BessemerError(.limit, "the tensors take more than 2^63 bytes", file: path) }
      end = aligned
    }
    let head = head(entries, offsets, metadata)
    let start = head.count + padding(head.count, alignment)
    guard let byteCount = CheckedSize.sum(start, end) else {
      throw BessemerError(.limit, "the file takes more than 2^63 bytes", file: path)
    }
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: byteCount) { file in
      try file.write(head)
      for (entry, offset) in zip(entries, offsets) {
        try Interrupt.check()
        try file.write([UInt8](repeating: 0, count: start + offset - file.position))
        try write(entry, to: file)
      }
      try file.write([UInt8](repeating: 0, count: byteCount - file.position))
    }
  }

  private func write(_ entry: CheckpointEntry, to file: AtomicWriter) throws {
    guard let type = entry.encoding else { return try entry.write(to: file) }
    if let blocks = try entry.blocks() { return try file.write(blocks) }
    let sink = try BlockSink(type, to: file)
    try entry.write(to: sink)
    try sink.finish(entry.name)
  }

  /// Bytes before the tensors, which no type of a tensor changes.
  public func headByteCount(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> Int {
    let count = head(entries, entries.map { _ in 0 }, metadata).count
    return count + padding(count, alignment(metadata) ?? GGUF.defaultAlignment)
  }

  private func padding(_ count: Int, _ alignment: Int) -> Int { -count & (alignment - 1) }

  /// Everything before the tensors, without the padding.
  private func head(_ entries: [CheckpointEntry], _ offsets: [Int], _ metadata: [TensorName: String]) -> [UInt8] {
    var metadata = metadata
    let (key, text) = GGUF.quantizationVersion
    if entries.contains(where: { $0.encoding != nil }), metadata[key] == nil { metadata[key] = text }
    var head = GGUF.magic + GGUFText.little(UInt32(3))
    head += GGUFText.little(UInt64(entries.count)) + GGUFText.little(UInt64(metadata.count))
    let isGeneral = { (key: TensorName) in key.string.hasPrefix("general.") }
    for (key, text) in metadata.sorted(by: {
      isGeneral($0.key) != isGeneral($1.key) ? isGeneral($0.key) : $0.key < $1.key
    }) {
      let (type, value) = GGUFText.parse(text)
      head += GGUFText.string(Array(key.string.utf8)) + GGUFText.little(type.rawValue) + value
    }
    for (entry, offset) in zip(entries, offsets) {
      let type = entry.encoding.map { GGMLType.blocks($0) } ?? .plain(entry.dtype)
      head += GGUFText.string(Array(entry.name.string.utf8)) + GGUFText.little(UInt32(entry.shape.count))
      for size in entry.shape.reversed() { head += GGUFText.little(UInt64(size)) }
      // Every type has a number, as was checked before.
      head += GGUFText.little(type.number ?? 0) + GGUFText.little(UInt64(offset))
    }
    return head
  }
}
