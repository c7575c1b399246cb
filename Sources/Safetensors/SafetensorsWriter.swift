public import Tensors

/// Writes safetensors files: the header from types and shapes first, then each tensor's bytes as they are produced.
///
/// The result depends on nothing but the entries and options: metadata is sorted by key, tensors by ``Order``.
public struct SafetensorsWriter: Sendable {
  /// A tensor to write: what the header says of it, and a way to produce its bytes.
  public struct Entry: Sendable {
    public let name: TensorName
    public let dtype: DType
    public let shape: [Int]
    private let produce: @Sendable (any ByteSink) throws -> Void

    /// `produce` writes exactly the bytes that type and shape take, in pieces of at most 1 MB to keep memory small.
    public init(
      _ name: TensorName, _ dtype: DType, shape: [Int], produce: @escaping @Sendable (any ByteSink) throws -> Void
    ) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.produce = produce
    }

    /// Bytes that are there already; a window of a mapped file is copied by the system.
    public init(_ name: TensorName, _ tensor: Tensor) {
      self.init(name, tensor.dtype, shape: tensor.shape) { try $0.write(tensor.bytes) }
    }

    /// A tensor of a checkpoint, unchanged.
    public init(_ entry: TensorStore.Entry) {
      self.init(entry.name, entry.dtype, shape: entry.shape) { try $0.write(entry.tensor().bytes) }
    }

    fileprivate func write(to sink: any ByteSink, byteCount: Int) throws {
      let start = sink.position
      try produce(sink)
      guard sink.position - start == byteCount else {
        throw BessemerError(
          .outputFailed, "tensor \(quoted(name.string)) got \(sink.position - start) bytes, it takes \(byteCount)")
      }
    }
  }

  /// How tensors follow each other. The format allows no padding between them.
  public enum Order: Sendable {
    /// As the reference writer has them: by type, the widest first, then by name. Data starts at a multiple of 8, and
    /// each tensor at a multiple of its element's size.
    case reference
    /// For running from the mapping: by the largest power of two, up to 64, that divides the tensor's size, greatest
    /// first, then by name. Data starts at a multiple of 64. So a tensor whose size is a multiple of 64 bytes starts at
    /// a multiple of 64 bytes, and every other at least at the power of two that divides its size.
    case aligned
    /// As given. Data starts at a multiple of 8; tensors may be misaligned.
    case given
  }

  private let header: SafetensorsHeader
  private let text: [UInt8]
  private let entries: [Entry]

  /// Lays the file out. Throws ``ErrorCode/unsupportedType`` for a type that the format lacks,
  /// ``ErrorCode/duplicateName``, ``ErrorCode/tensorLayout`` or ``ErrorCode/limit``, with the tensor's name.
  public init(_ entries: [Entry], metadata: [TensorName: String] = [:], order: Order = .reference) throws {
    let sized = try entries.map { (entry: $0, byteCount: try SafetensorsWriter.byteCount($0)) }
    self.entries = SafetensorsWriter.sorted(sized, order)
    try SafetensorsWriter.checkNames(self.entries)
    var described: [SafetensorsHeader.Entry] = []
    described.reserveCapacity(entries.count)
    var end = 0
    for entry in self.entries {
      let begin = end
      guard let next = CheckedSize.sum(end, try SafetensorsWriter.byteCount(entry)) else {
        throw BessemerError(.limit, "the tensors take more than 2^63 bytes together")
      }
      end = next
      described.append(SafetensorsHeader.Entry(entry.name, entry.dtype, shape: entry.shape, range: begin..<end))
    }
    header = try SafetensorsHeader(described, metadata: metadata, dataByteCount: end)
    text = header.text(alignment: order == .aligned ? 64 : 8)
    guard text.count <= SafetensorsHeader.maxTextByteCount, CheckedSize.sum(end, 8 + text.count) != nil else {
      throw BessemerError(
        .limit, "header of \(text.count) bytes, at most \(SafetensorsHeader.maxTextByteCount) are allowed")
    }
  }

  /// The tensors in the order of the file.
  public var names: [TensorName] { entries.map(\.name) }

  /// The size of the file.
  public var byteCount: Int { 8 + text.count + dataByteCount }
  /// The bytes of all tensors together.
  public var dataByteCount: Int { header.entries.last?.range.upperBound ?? 0 }

  /// What stands before the tensors.
  package var start: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text }
  /// Where the tensors stand in the file.
  package var places: [(name: TensorName, range: Range<Int>)] {
    let first = 8 + text.count
    return header.entries.map { ($0.name, ($0.range.lowerBound + first)..<($0.range.upperBound + first)) }
  }

  /// Writes the whole file to a sink.
  public func write(to sink: any ByteSink) throws {
    try sink.write(start)
    for (entry, described) in zip(entries, header.entries) {
      try Interrupt.check()
      try entry.write(to: sink, byteCount: described.range.count)
    }
  }

  /// Writes the file at `path`, complete or not at all.
  public func write(to path: String, overwrite: Bool = false, inputs: [FileIdentity] = []) throws {
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: byteCount, inputs: inputs) { try write(to: $0) }
  }

  private static func byteCount(_ entry: Entry) throws -> Int {
    guard entry.dtype.safetensorsName != nil else {
      throw BessemerError(
        .unsupportedType, "tensor \(quoted(entry.name.string)): safetensors files cannot hold \(entry.dtype.longName)")
    }
    guard let byteCount = Tensor.byteCount(entry.dtype, shape: entry.shape) else {
      let type = TensorType(entry.dtype, shape: entry.shape)
      throw BessemerError(
        .tensorLayout,
        "tensor \(quoted(entry.name.string)) of type \(type) is beyond 2^48 elements or no whole number of bytes")
    }
    return byteCount
  }

  private static func sorted(_ entries: [(entry: Entry, byteCount: Int)], _ order: Order) -> [Entry] {
    func key(_ item: (entry: Entry, byteCount: Int)) -> Int {
      order == .reference
        ? item.entry.dtype.safetensorsRank ?? 0
        : item.byteCount == 0 ? 64 : min(64, 1 << item.byteCount.trailingZeroBitCount)
    }
    guard order != .given else { return entries.map(\.entry) }
    let keyed = entries.map { (key: key($0), entry: $0.entry) }
    return keyed.sorted { a, b in a.key != b.key ? a.key > b.key : a.entry.name < b.entry.name }.map(\.entry)
  }

  private static func checkNames(_ entries: [Entry]) throws {
    var names: Set<TensorName> = []
    for entry in entries {
      guard names.insert(entry.name).inserted else {
        throw BessemerError(.duplicateName, "tensor \(quoted(entry.name.string)) occurs twice")
      }
      guard entry.name.string != SafetensorsHeader.metadataKey else {
        throw BessemerError(.tensorEntry, "a tensor cannot be named \(quoted(SafetensorsHeader.metadataKey))")
      }
    }
  }
}

extension SafetensorsWriter {
  /// Lays out the tensors of a checkpoint with its metadata.
  public init(_ store: TensorStore, order: Order = .reference) throws {
    try self.init(store.entries.map(Entry.init), metadata: store.metadata, order: order)
  }
}
