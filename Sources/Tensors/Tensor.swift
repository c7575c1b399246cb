/// An immutable tensor: type, shape and row-major bytes, owned or mapped.
public struct Tensor: Sendable, Equatable {
  public let dtype: DType
  public let shape: [Int]
  /// Little-endian, row-major, packed: exactly as many bytes as type and shape say, at any alignment.
  public let bytes: Bytes

  /// Throws ``ErrorCode/tensorLayout`` when `bytes` is not exactly as long as type and shape say.
  public init(_ dtype: DType, shape: [Int], bytes: Bytes) throws {
    guard let expected = Tensor.byteCount(dtype, shape: shape), expected == bytes.count else {
      throw BessemerError(
        .tensorLayout,
        "\(dtype)[\(shape.map(String.init).joined(separator: ","))] does not take \(bytes.count) bytes")
    }
    self.init(unchecked: dtype, shape: shape, bytes: bytes)
  }

  init(unchecked dtype: DType, shape: [Int], bytes: Bytes) {
    self.dtype = dtype
    self.shape = shape
    self.bytes = bytes
  }

  public var type: TensorType { TensorType(dtype, shape: shape) }
  public var rank: Int { shape.count }
  public var elementCount: Int { shape.reduce(1, *) }

  /// The number of elements, or nil when a dimension is negative or a product, even beside a zero, passes 2^48.
  public static func elementCount(of shape: [Int]) -> Int? {
    var product = 1
    var hasZero = false
    for dim in shape {
      guard dim >= 0 else { return nil }
      if dim == 0 {
        hasZero = true
        continue
      }
      let (next, overflow) = product.multipliedReportingOverflow(by: dim)
      guard !overflow, next <= 1 << 48 else { return nil }
      product = next
    }
    return hasZero ? 0 : product
  }

  /// The bytes that a tensor takes, or nil when the shape is out of limits or leaves a byte incomplete.
  public static func byteCount(_ dtype: DType, shape: [Int]) -> Int? {
    elementCount(of: shape).flatMap(dtype.byteCount(of:))
  }

  /// The same bytes under another shape with as many elements.
  public func reshaped(_ shape: [Int]) -> Tensor {
    precondition(Tensor.elementCount(of: shape) == elementCount, "reshape changes the number of elements")
    return Tensor(unchecked: dtype, shape: shape, bytes: bytes)
  }
}

/// Named tensors in a fixed order, with the text metadata of their file: what a checkpoint reader returns.
///
/// Tensors are windows of mapped files or lazily produced; making a store touches no tensor byte.
public struct TensorStore: Sendable {
  /// A tensor by type and shape, and a way to get its bytes.
  public struct Entry: Sendable {
    public private(set) var name: TensorName
    public let dtype: DType
    public let shape: [Int]
    /// The file that holds the tensor, for messages.
    public let file: String
    /// How the bytes lie in the file; type and shape are those of the tensor all the same.
    public let layout: WeightLayout
    private let content: Content

    /// Gives the bytes of a tensor piece by piece, in order.
    public typealias Stream = @Sendable (_ body: (Bytes) throws -> Void) throws -> Void

    /// Where the bytes come from.
    private enum Content: Sendable {
      /// All of them, in the layout.
      case whole(@Sendable () throws -> Bytes)
      case pieces(Stream)
      case lazy(any LazyBytes)
      case computed(TensorExpression)
    }

    private init(
      _ name: TensorName, _ dtype: DType, _ shape: [Int], _ file: String, _ layout: WeightLayout, _ content: Content
    ) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.file = file
      self.layout = layout
      self.content = content
    }

    /// `load` gives the bytes in the given layout.
    public init(
      _ name: TensorName, _ dtype: DType, shape: [Int], file: String, layout: WeightLayout = .rowMajor,
      load: @escaping @Sendable () throws -> Bytes
    ) { self.init(name, dtype, shape, file, layout, .whole(load)) }

    /// A row-major tensor whose bytes do not lie together: `stream` gives windows of mapped files of any size, or at
    /// most 1 MB at a time, where an element may be cut in two.
    public init(
      _ name: TensorName, _ dtype: DType, shape: [Int], file: String, stream: @escaping Stream
    ) { self.init(name, dtype, shape, file, .rowMajor, .pieces(stream)) }

    /// A row-major tensor whose bytes are made where they are asked for.
    public init(_ name: TensorName, _ dtype: DType, shape: [Int], file: String, lazy: any LazyBytes) {
      self.init(name, dtype, shape, file, .rowMajor, .lazy(lazy))
    }

    /// A tensor that is computed from others.
    public init(_ name: TensorName, _ expression: TensorExpression, file: String) {
      self.init(name, expression.dtype, expression.shape, file, .rowMajor, .computed(expression))
    }

    /// What computes the tensor from others; nil for one that is stored.
    var expression: TensorExpression? {
      if case .computed(let expression) = content { return expression }
      return nil
    }

    /// What makes the bytes where they are asked for, if something does.
    package var lazy: (any LazyBytes)? {
      if case .lazy(let lazy) = content { return lazy }
      return nil
    }

    /// The bytes piece by piece; nil where they lie together.
    var stream: Stream? {
      switch content {
      case .whole: nil
      case .pieces(let stream): stream
      case .lazy(let lazy): { try lazy.forEachPiece(0..<lazy.count, $0) }
      case .computed(let expression): { try TensorEvaluator().forEachPiece(expression, $0) }
      }
    }

    /// Whether the bytes come piece by piece, in order.
    package var isStreamed: Bool {
      if case .blocks = layout { return true }
      return stream != nil
    }

    /// The same tensor under another name.
    public func renamed(_ name: TensorName) -> Entry {
      var result = self
      result.name = name
      return result
    }

    public var type: TensorType { TensorType(dtype, shape: shape) }
    /// The bytes that the tensor takes.
    public var byteCount: Int { Tensor.byteCount(dtype, shape: shape) ?? 0 }
    /// The bytes that it takes in its layout.
    public var storedByteCount: Int { layout.byteCount(dtype, shape: shape) ?? 0 }
    /// What the file holds: an element type, or the encoding of blocks.
    public var storedTypeName: String {
      if case .blocks(let type) = layout { return type.rawValue }
      return dtype.rawValue
    }

    /// The tensor; for a mapped file in row-major layout this costs nothing until its bytes are read.
    public func tensor() throws -> Tensor {
      switch layout {
      case .rowMajor: try Tensor(dtype, shape: shape, bytes: load())
      case .panels: try Tensor(dtype, shape: shape, panels: load())
      case .blocks(let type): try Tensor(shape: shape, blocks: stored(), type)
      }
    }

    private func load() throws -> Bytes {
      if case .whole(let load) = content { return try load() }
      return try Bytes(byteCount: byteCount) { target in try collect({ try forEachPiece($0) }, into: target) }
    }

    /// Gives the bytes in row-major order to `body`: at once where they lie together, else piece by piece. Only then
    /// does a large tensor take no memory.
    public func forEachPiece(_ body: (Bytes) throws -> Void) throws {
      if case .blocks(let type) = layout { return try type.forEachPiece(0..<byteCount / 4, of: stored(), body) }
      guard let stream else { return try body(tensor().bytes) }
      var count = 0
      try stream {
        count += $0.count
        try body($0)
      }
      guard count == byteCount else {
        throw BessemerError(.tensorLayout, "\(type) does not take \(count) bytes", file: file)
      }
    }

    /// The panels as they lie in the file; nil for a tensor in row-major layout.
    public func packed() throws -> Bytes? { layout == .panels ? try stored() : nil }

    /// The blocks as they lie in the file, and their encoding; nil for a tensor in any other layout.
    public func blocks() throws -> (type: BlockType, bytes: Bytes)? {
      guard case .blocks(let type) = layout else { return nil }
      return (type, try stored())
    }

    /// The bytes in their layout.
    private func stored() throws -> Bytes {
      let bytes = try load()
      guard layout.byteCount(dtype, shape: shape) == bytes.count else {
        throw BessemerError(
          .tensorLayout, "\(type) in the layout \(layout.rawValue) does not take \(bytes.count) bytes", file: file)
      }
      return bytes
    }
  }

  public private(set) var entries: [Entry] = []
  /// The `__metadata__` of the file, or its equivalent.
  public var metadata: [TensorName: String] = [:]
  private var indices: [TensorName: Int] = [:]

  public init() {}

  /// The tensors of several stores, each name behind its store's prefix. Throws ``ErrorCode/duplicateName`` when names
  /// collide.
  public init(joining stores: [(prefix: String, store: TensorStore)]) throws {
    for (prefix, store) in stores {
      reserveCapacity(entries.count + store.entries.count)
      for entry in store.entries {
        try append(prefix.isEmpty ? entry : entry.renamed(TensorName(prefix + entry.name.string)))
      }
      metadata.merge(store.metadata) { first, _ in first }
    }
  }

  /// Makes room for tensors that are going to be appended.
  public mutating func reserveCapacity(_ count: Int) {
    entries.reserveCapacity(count)
    indices.reserveCapacity(count)
  }

  /// Throws ``ErrorCode/duplicateName`` when the name is taken.
  public mutating func append(_ entry: Entry) throws {
    guard indices.updateValue(entries.count, forKey: entry.name) == nil else {
      throw BessemerError(.duplicateName, "tensor \(quoted(entry.name.string)) occurs twice")
    }
    entries.append(entry)
  }

  /// Adds a tensor that is already in memory.
  public mutating func append(_ name: TensorName, _ tensor: Tensor, file: String = "") throws {
    try append(Entry(name, tensor.dtype, shape: tensor.shape, file: file) { tensor.bytes })
  }

  public subscript(name: TensorName) -> Entry? { indices[name].map { entries[$0] } }

  public func tensor(_ name: TensorName) throws -> Tensor {
    guard let entry = self[name] else { throw BessemerError(.weights, "no tensor \(quoted(name.string))") }
    return try entry.tensor()
  }

  /// Bytes of all tensors together, as they lie in their files.
  public var byteCount: Int { entries.reduce(0) { $0 + $1.storedByteCount } }
}

/// Copies the pieces of a stream one after the other into `target`, which they fill.
private func collect(
  _ stream: ((Bytes) throws -> Void) throws -> Void, into target: UnsafeMutableRawBufferPointer
) throws {
  var position = 0
  try stream { piece in
    guard piece.count <= target.count - position else {
      throw BessemerError(.tensorLayout, "a tensor of \(target.count) bytes has more")
    }
    piece.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: $0) }
    position += piece.count
  }
  guard position == target.count else {
    throw BessemerError(.tensorLayout, "a tensor of \(target.count) bytes has \(position)")
  }
}
