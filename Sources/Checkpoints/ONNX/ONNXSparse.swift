internal import Tensors

/// A `SparseTensorProto`: the values that are not zero, and where they stand.
struct ONNXSparse: Sendable {
  let name: String
  let dtype: DType
  let shape: [Int]
  private let values: Bytes
  private let indices: Bytes
  /// Numbers of an index: 1 for a place in row-major order, else one for each dimension.
  private let indexWidth: Int

  private static let pieceSize = 1 << 20

  /// Throws ``ErrorCode/tensorLayout`` unless indices lie inside and ascend.
  init(_ message: ByteReader, _ external: ([(key: String, value: String)], Int) throws -> Bytes) throws {
    var (dense, places): (ONNXTensor?, ONNXTensor?)
    var dims: [Int] = []
    var fields = WireReader(message)
    func add(_ dim: UInt64) throws {
      guard let size = Int(exactly: dim), dims.count < ONNXTensor.maximumRank else {
        throw BessemerError(.tensorEntry, "a sparse tensor has wrong or too many dimensions")
      }
      dims.append(size)
    }
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .bytes(let tensor)): dense = try ONNXTensor(tensor)
      case (2, .bytes(let tensor)): places = try ONNXTensor(tensor)
      case (3, .varint(let dim)): try add(dim)
      case (3, .bytes(var packed)): while !packed.isAtEnd { try add(packed.varint("a dimension")) }
      default: break
      }
    }
    guard let dense, let places, dense.dims.count == 1, dense.dims[0] == places.dims.first,
      try places.dtype() == .int64, places.dims.count == 1 || places.dims.count == 2 && places.dims[1] == dims.count
    else { throw BessemerError(.tensorEntry, "a sparse tensor lacks values, or indices that go with them") }
    name = dense.name
    dtype = try dense.dtype()
    shape = dims
    indexWidth = places.dims.count == 1 ? 1 : dims.count
    guard Tensor.byteCount(dtype, shape: dims) != nil, dtype.bits >= 8 else {
      throw dense.refuse(.unsupportedType, "is sparse, and of \(TensorType(dtype, shape: dims))")
    }
    values = try ONNXSparse.bytes(dense.content(external))
    indices = try ONNXSparse.bytes(places.content(external))
    var last = -1
    for index in 0..<dense.dims[0] {
      guard let place = place(index), place > last else {
        throw dense.refuse(.tensorLayout, "is sparse, and index \(index) lies outside or does not ascend")
      }
      last = place
    }
  }

  /// All bytes together: these are the values that are stored, not those that are meant.
  private static func bytes(_ content: ONNXContent) throws -> Bytes {
    if case .window(let bytes) = content { return bytes }
    var all: [UInt8] = []
    try content.forEachPiece { all += $0.array }
    return Bytes(all)
  }

  /// The place of a value in row-major order; nil when it lies outside.
  private func place(_ index: Int) -> Int? {
    func number(_ at: Int) -> Int {
      indices.withUnsafeBytes { Int(Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 8 * at, as: Int64.self))) }
    }
    if indexWidth == 1 && shape.count != 1 {
      let place = number(index)
      return (0..<(Tensor.elementCount(of: shape) ?? 0)).contains(place) ? place : nil
    }
    var place = 0
    for (k, size) in shape.enumerated() {
      let part = number(index * indexWidth + k)
      guard (0..<size).contains(part) else { return nil }
      place = place * size + part
    }
    return place
  }

  func entry(_ name: TensorName, file: String) -> TensorStore.Entry {
    TensorStore.Entry(name, dtype, shape: shape, file: file) { try forEachPiece($0) }
  }

  /// Gives all elements, zeros between the values, at most 1 MB at a time.
  private func forEachPiece(_ body: (Bytes) throws -> Void) throws {
    let size = dtype.bits / 8
    let count = Tensor.elementCount(of: shape) ?? 0
    let step = ONNXSparse.pieceSize / size
    var next = 0
    for start in stride(from: 0, to: count, by: step) {
      try Interrupt.check()
      var piece = [UInt8](repeating: 0, count: min(step, count - start) * size)
      while next < values.count / size, let place = place(next), place < start + step {
        let value = values[(next * size)..<((next + 1) * size)].array
        piece.replaceSubrange(((place - start) * size)..<((place - start + 1) * size), with: value)
        next += 1
      }
      try body(Bytes(piece))
    }
  }
}
