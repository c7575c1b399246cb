internal import Tensors

/// One GGUF file: its head, and where its tensors lie.
struct GGUFFile {
  let path: String
  /// Texts by key, without those that say how the model is split.
  private(set) var metadata: [TensorName: String] = [:]
  private var tensors: [Description] = []
  private let content: Bytes
  private let isBigEndian: Bool
  /// Where the first tensor starts.
  private var dataOffset = 0
  private var splitTexts: [TensorName: String] = [:]

  /// A tensor as the head describes it.
  private struct Description {
    let name: TensorName
    let type: GGMLType
    let shape: [Int]
    let byteCount: Int
    /// From the first tensor on.
    let byteOffset: Int
  }

  /// Reads and checks the head.
  init(_ file: InputFile) throws {
    path = file.path
    let mapped = try inFile(file.path) { try file.map() }
    content = mapped.bytes
    let start = content[0..<min(content.count, 64)].array
    guard start.starts(with: GGUF.magic) else {
      let guess = FileGuess.name(start).map { ", it looks like \($0)" } ?? ""
      throw BessemerError(
        start.isEmpty ? .truncated : .wrongFormat,
        start.isEmpty ? "the file is empty, expected a GGUF file" : "not a GGUF file\(guess)", file: file.path)
    }
    var reader = ByteReader(content)
    let version = try inFile(file.path) {
      try reader.skip(4, "the magic")
      return try reader.integer(UInt32.self, "the version")
    }
    // Versions are small, so the byte order shows.
    isBigEndian = version & 0xFFFF == 0 && version != 0
    var cursor = GGUFCursor(reader, isBigEndian: isBigEndian)
    try inFile(file.path) {
      let number = isBigEndian ? version.byteSwapped : version
      guard number == 2 || number == 3 else {
        throw BessemerError(.unsupportedFeature, "GGUF version \(number) is not supported; expected 2 or 3")
      }
      try readHead(&cursor)
    }
  }

  private mutating func readHead(_ cursor: inout GGUFCursor) throws {
    // A tensor takes a name, dimensions, a type and an offset; a piece of metadata a key, a type and a value.
    let tensorCount = try cursor.count(of: "tensors", least: 24)
    let metadataCount = try cursor.count(of: "pieces of metadata", least: 13)
    guard tensorCount <= GGUF.maximumTensorCount, metadataCount <= GGUF.maximumMetadataCount else {
      throw BessemerError(.limit, "\(tensorCount) tensors and \(metadataCount) pieces of metadata are too many")
    }
    for _ in 0..<metadataCount { try readMetadata(&cursor) }
    let alignment = try alignment()
    var offset = 0
    tensors.reserveCapacity(tensorCount)
    for index in 0..<tensorCount {
      if index & 0xFFF == 0 { try Interrupt.check() }
      let tensor = try readTensor(&cursor)
      guard tensor.byteOffset == offset else {
        let problem = tensor.byteOffset < offset ? "overlaps another" : "leaves a hole"
        throw BessemerError(
          .tensorLayout,
          "tensor \(quoted(tensor.name.string)) starts at byte \(tensor.byteOffset) of the data, expected \(offset): "
            + (tensor.byteOffset % alignment == 0 ? problem : "no multiple of \(alignment)"))
      }
      guard let end = CheckedSize.sum(offset, tensor.byteCount),
        let next = CheckedSize.aligned(end, to: alignment)
      else { throw BessemerError(.tensorLayout, "tensor \(quoted(tensor.name.string)) ends beyond 2^63 bytes") }
      offset = next
      tensors.append(tensor)
    }
    try checkSize(head: cursor.byteOffset, alignment)
  }

  private mutating func readMetadata(_ cursor: inout GGUFCursor) throws {
    let key = TensorName(try cursor.name("a metadata key", limit: GGUF.maximumNameByteCount))
    let type = try GGUFText.valueType(from: &cursor)
    let text = try GGUFText.read(type, from: &cursor)
    let isSplit = [GGUFSplit.keys.index, GGUFSplit.keys.count, GGUFSplit.keys.tensorCount].contains(key)
    let known = isSplit ? splitTexts.updateValue(text, forKey: key) : metadata.updateValue(text, forKey: key)
    guard known == nil else {
      throw BessemerError(.duplicateName, "the metadata key \(quoted(key.string)) occurs twice")
    }
  }

  private func readTensor(_ cursor: inout GGUFCursor) throws -> Description {
    let name = TensorName(try cursor.name("a tensor's name", limit: GGUF.maximumNameByteCount))
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "tensor \(quoted(name.string)) \(what)")
    }
    let rank = try cursor.integer(UInt32.self, "the number of dimensions")
    guard rank <= GGUF.maximumRank else {
      throw refuse(.limit, "has \(rank) dimensions, at most \(GGUF.maximumRank) are read")
    }
    var shape: [Int] = []
    for _ in 0..<rank {
      let size = try cursor.integer(UInt64.self, "a dimension")
      guard let size = Int(exactly: size) else { throw refuse(.tensorEntry, "has a dimension of \(size)") }
      shape.insert(size, at: 0)
    }
    let number = try cursor.integer(UInt32.self, "a tensor's type")
    let offset = try cursor.integer(UInt64.self, "a tensor's offset")
    let type: GGMLType
    do { type = try GGMLType(number: number) } catch let error as BessemerError {
      throw refuse(error.code, "has \(error.message)")
    }
    guard let byteCount = type.layout.byteCount(type.dtype, shape: shape) else {
      throw refuse(
        .tensorLayout, "of \(shape) is beyond 2^48 elements, or its rows are no whole blocks of \(type.layout.rawValue)"
      )
    }
    guard let offset = Int(exactly: offset) else { throw refuse(.tensorLayout, "starts at byte \(offset) of the data") }
    return Description(name: name, type: type, shape: shape, byteCount: byteCount, byteOffset: offset)
  }

  private func alignment() throws -> Int {
    guard let text = metadata[GGUF.alignmentKey] else { return GGUF.defaultAlignment }
    guard let alignment = GGUFText.integer(text), (1...GGUF.maximumAlignment).contains(alignment),
      alignment & (alignment - 1) == 0
    else {
      throw BessemerError(
        .header, "general.alignment is \(quoted(text)), expected a power of two up to \(GGUF.maximumAlignment)")
    }
    return alignment
  }

  /// Throws unless the tensors, or without any the list of them, fill the file, which may lack the last padding.
  private mutating func checkSize(head: Int, _ alignment: Int) throws {
    let (offset, byteCount) = tensors.last.map { ($0.byteOffset, $0.byteCount) } ?? (0, 0)
    guard let start = CheckedSize.aligned(head, to: alignment),
      let end = tensors.isEmpty ? head : CheckedSize.sum(start, offset).flatMap({ CheckedSize.sum($0, byteCount) }),
      let padded = CheckedSize.aligned(end, to: alignment)
    else { throw BessemerError(.tensorLayout, "the tensors end beyond 2^63 bytes") }
    guard end <= content.count else {
      throw BessemerError(.truncated, "truncated: the tensors end at byte \(end), the file has \(content.count)")
    }
    guard content.count <= padded else {
      throw BessemerError(.tensorLayout, "the file has \(content.count - end) bytes behind the end of its content")
    }
    dataOffset = start
  }

  /// Which part of a split model this is; nil for a whole one.
  func split() throws -> GGUFSplit? {
    guard let text = splitTexts[GGUFSplit.keys.count] else { return nil }
    let index = splitTexts[GGUFSplit.keys.index].flatMap(GGUFText.integer) ?? -1
    guard let count = GGUFText.integer(text), (0...GGUF.maximumFileCount).contains(count), index >= 0,
      index < max(count, 1)
    else { throw BessemerError(.shardIndex, "split.no and split.count contradict each other") }
    return GGUFSplit(
      index: index, count: count, tensorCount: splitTexts[GGUFSplit.keys.tensorCount].flatMap(GGUFText.integer))
  }

  /// The tensors and metadata of this file alone.
  func store() throws -> TensorStore {
    try inFile(path) {
      var store = TensorStore()
      try append(to: &store)
      return store
    }
  }

  /// Adds the tensors, and the metadata, which may repeat what the store has.
  func append(to store: inout TensorStore) throws {
    for (key, text) in metadata {
      guard store.metadata.updateValue(text, forKey: key) ?? text == text else {
        throw BessemerError(.header, "the metadata \(quoted(key.string)) differs from that of another file")
      }
    }
    store.reserveCapacity(store.entries.count + tensors.count)
    for tensor in tensors { try store.append(entry(tensor)) }
  }

  private func entry(_ tensor: Description) throws -> TensorStore.Entry {
    let start = dataOffset + tensor.byteOffset
    let window = content[start..<(start + tensor.byteCount)]
    let (dtype, layout) = (tensor.type.dtype, tensor.type.layout)
    guard isBigEndian else {
      return TensorStore.Entry(tensor.name, dtype, shape: tensor.shape, file: path, layout: layout) { window }
    }
    switch tensor.type {
    case .plain(let dtype):
      return TensorStore.Entry(tensor.name, dtype, shape: tensor.shape, file: path) { body in
        try ByteOrder.forEachPiece(of: window, elementByteCount: dtype.bits / 8, body)
      }
    case .blocks(let type):
      guard let offsets = type.halfOffsets else {
        throw BessemerError(
          .unsupportedFeature,
          "tensor \(quoted(tensor.name.string)) holds \(type.rawValue) in big-endian order, which is not read")
      }
      return TensorStore.Entry(tensor.name, dtype, shape: tensor.shape, file: path, layout: layout) {
        try ByteOrder.swapHalves(at: offsets, ofEach: type.byteCount, in: window)
      }
    }
  }
}
