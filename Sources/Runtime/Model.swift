import CKernels
public import IR
public import Tensors

/// How a model runs.
public struct RunOptions: Sendable {
  /// What matrix products are computed in.
  public enum Compute: String, Sendable, CaseIterable {
    /// Weights widened exactly, float32 products and sums.
    case float32
    /// Both sides rounded to bfloat16, float32 sums.
    case bfloat16
  }

  public var threads: Int
  public var compute: Compute
  /// Weights are packed into memory at most up to this many bytes; beyond, kernels read them as they lie in the
  /// mapping.
  public var packLimit: Int
  /// Whether products are summed and attention is computed as by PyTorch's CPU kernels, its approximate exponentials
  /// included.
  public var isAsPyTorch = false

  public init(threads: Int, compute: Compute = .float32, packLimit: Int = .max) {
    self.threads = threads
    self.compute = compute
    self.packLimit = packLimit
  }
}

/// A graph with its weights, ready to run: parameter expressions are evaluated, weights of matrix products packed, once
/// and when they are first needed.
public final class Model {
  public let graph: Graph
  public let options: RunOptions
  let pool: ThreadPool
  let parameters: Parameters
  /// The states that grow in their buffers, by what updates them.
  let appendedStates: [ValueID: GraphState]
  /// Those of them, by what updates them, that attention reads as they lie.
  let caches: Set<ValueID>

  public init(_ graph: Graph, weights: TensorStore, options: RunOptions) {
    self.graph = graph
    self.options = options
    pool = ThreadPool(threads: options.threads)
    parameters = Parameters(graph, weights, options, pool)
    let appended = graph.states.filter { graph.isAppendedInPlace($0) }
    appendedStates = Dictionary(appended.map { ($0.update, $0) }, uniquingKeysWith: { first, _ in first })
    let readable = appended.filter {
      let type = graph.type(of: $0.value)
      return graph.isCache($0) && [.float32, .bfloat16].contains(type.dtype) && $0.axis < type.rank - 1
    }
    // Keys of one type and values of another would be converted.
    let isUniform = Set(readable.map { graph.type(of: $0.value).dtype }).count == 1 && readable.count == appended.count
    caches = isUniform ? Set(readable.map(\.update)) : []
  }

  /// Gives the pages of mapped weights back to the system, for a model that is done with.
  public func releasePages() { parameters.releasePages() }

  /// The bytes of the weights of matrix products, and how many of them a second the machine gives where they lie: the
  /// most of several times, with nothing computed. What a product with one row can reach at best.
  public func weightsReadRate() -> (byteCount: Int, bytesPerSecond: Double) {
    let regions = parameters.matrixRegions
    let byteCount = regions.reduce(0) { $0 + $1.bytes }
    let clock = ContinuousClock()
    let times = (0..<12).map { _ in clock.measure { _ = bk_probe_read(pool.handle, regions.count, regions) } }
    return (byteCount, Double(byteCount) / max(times.min()! / .seconds(1), 1e-9))
  }

  /// Bytes of memory that prepared parameters take, mapped ones not counted.
  public var parameterByteCount: Int { parameters.byteCount }
}

/// The values of parameter expressions in the forms that kernels read.
final class Parameters {
  /// A matrix for `y = x · Wᵀ`.
  struct Matrix {
    /// Some of its rows, one after the other or as panels.
    struct Part {
      let outputs: Int
      let bytes: Bytes
      let isPacked: Bool
    }

    let inputs: Int
    let dtype: bk_dtype
    /// Several where rows of several weights in the mapping make one matrix.
    let parts: [Part]

    var outputs: Int { parts.reduce(0) { $0 + $1.outputs } }
  }

  private let reader: ParameterReader
  private let graph: Graph
  private let weights: TensorStore
  private let options: RunOptions
  private let pool: ThreadPool
  private var tensors: [ValueID: Tensor] = [:]
  private var vectors: [ValueID: Tensor] = [:]
  private var mapped: [ValueID: Tensor] = [:]
  private var matrices: [ValueID: Matrix] = [:]
  private(set) var byteCount = 0

  init(_ graph: Graph, _ weights: TensorStore, _ options: RunOptions, _ pool: ThreadPool) {
    self.graph = graph
    self.weights = weights
    self.options = options
    self.pool = pool
    reader = ParameterReader(graph, weights: weights)
  }

  func isParameter(_ value: ValueID) -> Bool { reader.isParameter(value) }

  func releasePages() { reader.releasePages() }

  /// Where the matrices lie that were asked for so far.
  var matrixRegions: [bk_region] {
    matrices.values.flatMap(\.parts).map { part in
      part.bytes.withUnsafeBytes { bk_region(data: $0.baseAddress, bytes: $0.count) }
    }
  }

  /// The value as it is typed in the graph. A weight stays in its mapping.
  func tensor(_ value: ValueID) throws -> Tensor {
    if let known = tensors[value] { return known }
    let tensor = try reader.tensor(value)
    tensors[value] = tensor
    if graph.producer(of: value, as: Weight.self) == nil { byteCount += tensor.bytes.count }
    return tensor
  }

  /// The value as aligned float32.
  func vector(_ value: ValueID) throws -> Tensor {
    if let known = vectors[value] { return known }
    let tensor = try reader.tensor(value)
    let wide = try tensor.dtype == .float32 && tensor.isAligned ? tensor : tensor.cast(to: .float32).owned()
    vectors[value] = wide
    byteCount += wide.bytes.count
    return wide
  }

  /// What is made of a value's float32 elements, one by one, in aligned memory; always the same for one value.
  func vector(_ value: ValueID, mapped map: (Float) -> Float) throws -> Tensor {
    if let known = mapped[value] { return known }
    let wide = try Tensor(reader.tensor(value).floats.map(map), shape: reader.tensor(value).shape)
    mapped[value] = wide
    byteCount += wide.bytes.count
    return wide
  }

  /// The value [outputs, inputs] as the weight of a matrix product.
  func matrix(_ value: ValueID) throws -> Matrix {
    if let known = matrices[value] { return known }
    let matrix = try prepare(value)
    matrices[value] = matrix
    return matrix
  }

  /// Filters [outputs, channels, height, width] as the matrix [outputs, height · width · channels] that a convolution
  /// takes.
  func filter(_ value: ValueID) throws -> Matrix {
    if let known = matrices[value] { return known }
    let tensor = try reader.tensor(value)
    let source = try bk_dtype(tensor.dtype) == nil ? tensor.cast(to: .float32) : tensor
    let (shape, strides) = (source.shape, rowMajorStrides(source.shape))
    let order = [0, 2, 3, 1]
    let (target, size) = (order.map { shape[$0] }, source.dtype.bits / 8)
    let pool = pool.handle
    let bytes = try Bytes(byteCount: source.bytes.count) { memory in
      let status = source.bytes.withUnsafeBytes {
        bk_copy(
          pool, Int32(size), 4, target, memory.baseAddress, rowMajorStrides(target), $0.baseAddress,
          order.map { strides[$0] })
      }
      try check(status)
    }
    let matrix = try pack(
      Tensor(source.dtype, shape: [shape[0], target.dropFirst().reduce(1, *)], bytes: bytes), as: packedType(of: source)
    )
    reader.releasePages(of: value)
    matrices[value] = matrix
    return matrix
  }

  /// The type in which a matrix stands in panels.
  private func packedType(of tensor: Tensor) -> bk_dtype {
    options.compute == .bfloat16 ? BK_BF16 : bk_dtype(tensor.dtype) ?? BK_F32
  }

  /// A matrix of a type that kernels read, in panels of another.
  private func pack(_ tensor: Tensor, as wanted: bk_dtype) throws -> Matrix {
    let (n, k) = (tensor.shape[0], tensor.shape[1])
    let (pool, stored, size) = (pool.handle, bk_dtype(tensor.dtype) ?? BK_F32, bk_pack_size(wanted, n, k))
    let bytes = try Bytes(byteCount: size) { target in
      let status = tensor.bytes.withUnsafeBytes {
        bk_pack(pool, wanted, target.baseAddress, stored, $0.baseAddress, k, false, n, k)
      }
      try check(status)
    }
    byteCount += size
    return Matrix(inputs: k, dtype: wanted, parts: [Matrix.Part(outputs: n, bytes: bytes, isPacked: true)])
  }

  private func prepare(_ value: ValueID) throws -> Matrix {
    let type = graph.type(of: value)
    guard let shape = type.shape, shape.count == 2 else { throw BessemerError(.graph, "a weight matrix is \(type)") }
    let (n, k) = (shape[0], shape[1])
    let stored = bk_dtype(type.dtype)
    let wanted = options.compute == .bfloat16 ? BK_BF16 : stored ?? BK_F32
    // PyTorch's orders are those of rows.
    let inRows = options.isAsPyTorch && wanted != BK_F32
    if !inRows, let (_, weight) = graph.producer(of: value, as: Weight.self), wanted == stored,
      type.dtype == weight.dtype, let packed = try weights[weight.name]?.packed()
    {
      return Matrix(inputs: k, dtype: wanted, parts: [Matrix.Part(outputs: n, bytes: packed, isPacked: true)])
    }
    if inRows || byteCount + bk_pack_size(wanted, n, k) > options.packLimit, let stored,
      let rows = try mappedRows(value)
    {
      return Matrix(inputs: k, dtype: stored, parts: rows)
    }
    // What is packed is not read again where it lies.
    defer { reader.releasePages(of: value) }
    let tensor = try reader.tensor(value)
    if inRows {
      byteCount += tensor.bytes.count
      let rows = Matrix.Part(outputs: n, bytes: try tensor.owned().bytes, isPacked: false)
      return Matrix(inputs: k, dtype: wanted, parts: [rows])
    }
    return try pack(stored == nil ? tensor.cast(to: .float32) : tensor, as: wanted)
  }

  /// The rows of a weight, or of several that are joined, as they lie in the mapping; nil when they must be computed
  /// or are not aligned.
  private func mappedRows(_ value: ValueID) throws -> [Matrix.Part]? {
    if let (node, op) = graph.producer(of: value, as: Concat.self), op.axis == 0 || op.axis == -2 {
      var parts: [Matrix.Part] = []
      for operand in node.operands {
        guard let more = try mappedRows(operand) else { return nil }
        parts += more
      }
      return parts
    }
    guard graph.producer(of: value, as: Weight.self) != nil else { return nil }
    let tensor = try reader.tensor(value)
    return tensor.isAligned ? [Matrix.Part(outputs: tensor.shape[0], bytes: tensor.bytes, isPacked: false)] : nil
  }
}

extension Tensor {
  /// Whether kernels may read the elements by their natural alignment.
  var isAligned: Bool { bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) % max(dtype.bits / 8, 1) == 0 } }

  /// The tensor in memory of its own.
  func owned() throws -> Tensor {
    try Tensor(
      dtype, shape: shape,
      bytes: Bytes(byteCount: bytes.count) { target in bytes.withUnsafeBytes { target.copyMemory(from: $0) } })
  }
}

extension bk_dtype {
  /// The kernels' name of a type they widen themselves.
  init?(_ dtype: DType) {
    switch dtype {
    case .float32: self = BK_F32
    case .bfloat16: self = BK_BF16
    case .float16: self = BK_F16
    default: return nil
    }
  }
}

/// Turns a kernel's status into an error.
func check(_ status: Int32) throws {
  switch status {
  case Int32(BK_OK): return
  case Int32(BK_EMEMORY): throw BessemerError(.memory, "a kernel cannot allocate its scratch memory")
  default: preconditionFailure("a kernel was called with arguments it does not take (\(status))")
  }
}
