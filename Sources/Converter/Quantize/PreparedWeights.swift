import IR
import Quantization
import Tensors

/// The weights of a model as algorithms left them, and what they found out about its layers.
struct PreparedWeights: Sendable {
  let base: TensorStore
  /// Weights that were changed, in their own types.
  private var edits: [TensorName: Tensor] = [:]
  /// By module.
  var grids: [String: InputGrid] = [:]
  /// For each channel, by the module that makes keys or values.
  var cacheGrids: [String: [InputGrid]] = [:]
  /// For each head, by the name of an operand of attention, `model.layers.0.self_attn.fa_q`.
  var attentionScales: [String: [Float]] = [:]
  /// By module, codes that were found by looking at data.
  var codes: [String: StoredCodes] = [:]

  init(_ base: TensorStore) { self.base = base }

  /// The tensor as it is now.
  subscript(name: TensorName) -> TensorStore.Entry? {
    guard let entry = base[name] else { return nil }
    guard let tensor = edits[name] else { return entry }
    return TensorStore.Entry(name, tensor.dtype, shape: tensor.shape, file: entry.file) { tensor.bytes }
  }

  private func entry(_ name: TensorName) throws -> TensorStore.Entry {
    guard let entry = self[name] else { throw BessemerError(.weights, "no tensor \(quoted(name.string))") }
    return entry
  }

  func dtype(of name: TensorName) throws -> DType { try entry(name).dtype }

  /// A vector is one row.
  func matrix(_ name: TensorName) throws -> Matrix {
    let tensor = try entry(name).tensor()
    defer { tensor.bytes.releasePages() }
    return try Matrix(tensor)
  }

  /// Gives the pages of the model's weights back to the system, for those that were read as a whole.
  func releasePages(of names: [TensorName]) throws {
    for name in names { try base[name]?.window()?.releasePages() }
  }

  mutating func set(_ name: TensorName, _ matrix: Matrix) throws {
    let old = try entry(name)
    edits[name] = try matrix.tensor(old.dtype, shape: old.shape)
  }

  /// Changes some rows after the other, so that no more than a piece of the matrix is in memory in float32.
  mutating func changeRows(of name: TensorName, _ change: (inout Matrix) throws -> Void) throws {
    let tensor = try entry(name).tensor()
    let columns = tensor.shape.last ?? 1
    let row = columns * tensor.dtype.bits / 8
    let step = max(1, PreparedWeights.pieceByteCount / max(1, row)) * row
    let bytes = try Bytes(byteCount: tensor.bytes.count) { target in
      for start in stride(from: 0, to: target.count, by: max(1, step)) {
        try Interrupt.check()
        let range = start..<min(start + step, target.count)
        let piece = tensor.bytes[range]
        defer { piece.releasePages() }
        let shape = [range.count / row, columns]
        var matrix = try Matrix(Tensor(tensor.dtype, shape: shape, bytes: piece))
        try change(&matrix)
        try matrix.tensor(tensor.dtype, shape: shape).bytes.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: target[range]).copyMemory(from: $0)
        }
      }
    }
    edits[name] = try Tensor(tensor.dtype, shape: tensor.shape, bytes: bytes)
  }

  private static let pieceByteCount = 1 << 20

  /// Multiplies each column with a factor, rounding once.
  mutating func scaleColumns(of name: TensorName, by factors: [Float]) throws {
    try set(name, matrix(name).scalingColumns(factors))
  }

  /// Divides each row, or each element of a vector, by a number: multiplies with its reciprocal, both rounded.
  mutating func divideRows(of name: TensorName, by divisors: [Float]) throws {
    let dtype = try dtype(of: name)
    try multiply(name, by: divisors.map { 1 / $0 }.rounded(to: dtype))
  }

  func rows(of name: TensorName) throws -> Int { try entry(name).shape[0] }
  func columns(of name: TensorName) throws -> Int { try entry(name).shape.last ?? 1 }

  /// Divides each row, or each element of a vector, by a number, rounding once.
  mutating func divide(_ name: TensorName, by divisors: [Float]) throws { try change(name, divisors) { $0 / $1 } }

  mutating func multiply(_ name: TensorName, by factors: [Float]) throws { try change(name, factors) { $0 * $1 } }

  mutating func add(_ name: TensorName, _ numbers: [Float]) throws { try change(name, numbers) { $0 + $1 } }

  private mutating func change(_ name: TensorName, _ by: [Float], _ combine: (Float, Float) -> Float) throws {
    var weight = try matrix(name)
    let width = weight.values.count / by.count
    for index in weight.values.indices { weight.values[index] = combine(weight.values[index], by[index / width]) }
    try set(name, weight)
  }

  /// The weights of a graph; some for one run only.
  func store(for graph: Graph, replacing: [TensorName: Tensor] = [:]) throws -> TensorStore {
    var store = TensorStore()
    for id in graph.nodeIDs {
      guard let weight = graph[id].op as? Weight, store[weight.name] == nil else { continue }
      if let tensor = replacing[weight.name] {
        try store.append(weight.name, tensor)
      } else {
        try store.append(entry(weight.name))
      }
    }
    return store
  }

  /// Lets go of changed weights that have been written.
  mutating func forget() {
    edits = [:]
    grids = [:]
    cacheGrids = [:]
    attentionScales = [:]
    codes = [:]
  }
}
