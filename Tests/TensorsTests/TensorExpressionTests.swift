import TestSupport
import Testing

@testable import Tensors

/// Expressions against the same moves done element by element.
@Suite struct TensorExpressionTests {
  /// Where the bytes of a tensor are.
  enum Place: CaseIterable { case memory, file, pieces, stream }

  static let types: [DType] = [.float32, .bfloat16, .int8, .float64, .complex128, .uint4, .float6e2m3]

  @Test(arguments: types, Place.allCases) func movesElements(_ dtype: DType, _ place: Place) throws {
    var random = SplitMix64(seed: 11)
    for round in 0..<60 {
      let shape = (0..<Int.random(in: 1...4, using: &random)).map { _ in
        [1, 2, 3, 4, 6, 8].randomElement(using: &random)!
      }
      let whole = dtype.bits < 8 ? [4] + shape : shape
      let source = try Source(dtype, whole, place, seed: UInt64(round))
      var model = Model(shape: whole, cells: source.cells, size: dtype.cellByteCount)
      var expression = TensorExpression(try source.entry())
      for _ in 0..<Int.random(in: 1...5, using: &random) {
        do { _ = try step(&expression, &model, &random) } catch let error as BessemerError {
          // What would have to be evaluated first must take whole bytes.
          #expect(dtype.bits < 8 && error.code == .tensorLayout, "\(error)")
        }
      }
      guard expression.byteCount != nil else { continue }
      try expect(expression, model, "\(dtype) \(place) \(expression.steps)")
    }
  }

  /// One random move on both sides; false when it cannot be made.
  private func step(_ expression: inout TensorExpression, _ model: inout Model, _ random: inout SplitMix64) throws
    -> Bool
  {
    let rank = expression.shape.count
    let axis = rank == 0 ? 0 : Int.random(in: 0..<rank, using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0:
      let axes = Array(0..<rank).shuffled(using: &random)
      expression = try expression.transposed(axes)
      model = model.picked(axes.map { model.shape[$0] }) { index in
        var from = [Int](repeating: 0, count: rank)
        for (k, a) in axes.enumerated() { from[a] = index[k] }
        return from
      }
    case 1 where rank > 0 && expression.shape[axis] > 1:
      let step = [1, 1, 2, -1].randomElement(using: &random)!
      let length = expression.shape[axis]
      let count = Int.random(in: 1...max(1, length / abs(step)), using: &random)
      let first = step > 0 ? (length - (count - 1) * step - 1) : length - 1
      expression = try expression.sliced(axis: axis, first: first, count: count, step: step)
      var shape = model.shape
      shape[axis] = count
      model = model.picked(shape) { index in
        var index = index
        index[axis] = first + index[axis] * step
        return index
      }
    case 2:
      var left = model.shape.reduce(1, *)
      var shape: [Int] = []
      while left > 1 {
        let factor = [2, 3, 4, 6, left].filter { left % $0 == 0 }.randomElement(using: &random)!
        shape.append(factor)
        left /= factor
      }
      guard shape.count <= 6 else { return false }
      expression = try expression.reshaped(shape)
      model.shape = shape
    case 3 where rank > 0 && model.cells.count < 4000:
      let other = try expression.transposed(Array(0..<rank))
      expression = try TensorExpression.concat([expression, other, expression], axis: axis)
      var shape = model.shape
      let length = shape[axis]
      shape[axis] *= 3
      model = model.picked(shape) { index in
        var index = index
        index[axis] %= length
        return index
      }
    case 4 where model.cells.count < 4000:
      expression = try TensorExpression.stack([expression, expression], axis: axis)
      var shape = model.shape
      shape.insert(2, at: axis)
      model = model.picked(shape) { index in
        var index = index
        index.remove(at: axis)
        return index
      }
    default: return false
    }
    return true
  }

  private func expect(_ expression: TensorExpression, _ model: Model, _ what: String) throws {
    #expect(expression.shape == model.shape, "\(what)")
    var bytes: [UInt8] = []
    try expression.forEachPiece { bytes += $0.array }
    let tensor = try Tensor(expression.dtype, shape: expression.shape, bytes: Bytes(bytes))
    var cells = [UInt8](repeating: 0, count: model.cells.count)
    cells.withUnsafeMutableBytes { tensor.copyCells(to: $0) }
    #expect(cells == model.cells, "\(what)")
  }

  /// A tensor by elements of whole bytes.
  struct Model {
    var shape: [Int]
    var cells: [UInt8]
    let size: Int

    /// The tensor of `shape` whose element at an index is the one that `source` says.
    func picked(_ shape: [Int], _ source: ([Int]) -> [Int]) -> Model {
      var result: [UInt8] = []
      let strides = rowMajorStrides(self.shape)
      for flat in 0..<shape.reduce(1, *) {
        var (rest, index) = (flat, [Int](repeating: 0, count: shape.count))
        for k in shape.indices.reversed() {
          index[k] = rest % shape[k]
          rest /= shape[k]
        }
        let place = zip(source(index), strides).reduce(0) { $0 + $1.0 * $1.1 }
        result += cells[(place * size)..<((place + 1) * size)]
      }
      return Model(shape: shape, cells: result, size: size)
    }
  }

  /// A tensor of random bits somewhere.
  final class Source {
    let dtype: DType
    let shape: [Int]
    let place: Place
    let cells: [UInt8]
    private let bytes: Bytes
    private let folder: Scratch?
    private var file: MappedFile?

    init(_ dtype: DType, _ shape: [Int], _ place: Place, seed: UInt64) throws {
      (self.dtype, self.shape, self.place) = (dtype, shape, place)
      var random = SplitMix64(seed: seed)
      let count = try #require(Tensor.byteCount(dtype, shape: shape))
      bytes = Bytes((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
      var cells = [UInt8](repeating: 0, count: shape.reduce(1, *) * dtype.cellByteCount)
      let tensor = try Tensor(dtype, shape: shape, bytes: bytes)
      cells.withUnsafeMutableBytes { tensor.copyCells(to: $0) }
      self.cells = cells
      folder = place == .memory || place == .stream ? nil : Scratch()
      if let folder {
        let (path, content) = (folder("data"), bytes.array)
        try AtomicWriter.write(to: path) { try $0.write([1, 2, 3] + content + [4]) }
        file = try MappedFile(path: path)
      }
    }

    func entry() throws -> TensorStore.Entry {
      let bytes = file.map { $0[3..<($0.byteCount - 1)] } ?? self.bytes
      guard place == .pieces || place == .stream else {
        return TensorStore.Entry("w", dtype, shape: shape, file: "") { bytes }
      }
      return TensorStore.Entry("w", dtype, shape: shape, file: "") { body in
        for start in stride(from: 0, to: bytes.count, by: 37) { try body(bytes[start..<min(start + 37, bytes.count)]) }
      }
    }
  }
}
