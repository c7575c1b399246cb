import TestSupport
import Tensors
import Validation

/// A matrix of plain numbers, for making outputs by other means than the product's.
struct Matrix: Equatable {
  var rows: [[Float]]

  init(_ rows: [[Float]]) { self.rows = rows }

  init(_ count: Int, _ width: Int, _ generator: inout SplitMix64) {
    rows = (0..<count).map { _ in (0..<width).map { _ in generator.signedUnit() } }
  }

  var width: Int { rows.first?.count ?? 0 }
  var transposed: Matrix { Matrix((0..<width).map { k in rows.map { $0[k] } }) }
  func picking(_ order: [Int]) -> Matrix { Matrix(order.map { rows[$0] }) }

  func tensor(_ dtype: DType = .float32) throws -> Tensor {
    try Tensor(dtype, shape: [rows.count, width], doubles: rows.joined().map { Double($0) })
  }
}

/// A random model, and what was made of it: each output with the relation that was meant.
struct RelationPlan {
  var source: [(name: String, tensor: Tensor)] = []
  var output: [(name: String, tensor: Tensor, kind: Relation.Kind)] = []

  /// Layers of tensors that are all treated alike, in ways that the seed says.
  init(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    let dtype: DType = [.float32, .bfloat16, .float16][pick(3)]
    let (heads, depth, width, experts) = (2 + 2 * pick(2), 8, [24, 40][pick(2)], 2 + pick(3))
    let (query, key, joins, splits, stacks, turns) = (pick(3), pick(2), pick(4), pick(3), pick(3), pick(2))
    let (isRenamed, isTied) = (pick(2) == 0, pick(2) == 0)
    let embedding = Matrix(50, width, &random)
    add("embed.weight", embedding)
    put(isRenamed ? "emb" : "embed.weight", embedding, .identical, dtype)
    if isTied { put("head", embedding, .tied, dtype) }
    for layer in 0..<3 {
      let (from, to) = ("layers.\(layer).", isRenamed ? "blk.\(layer)." : "layers.\(layer).")
      var q = Matrix(heads * depth, width, &random)
      var k = Matrix(depth, width, &random)
      let v = Matrix(depth, width, &random)
      for (name, matrix) in [("q", q), ("k", k), ("v", v)] { add(from + name, matrix) }
      if query == 1 {
        q = q.picking(RelationPlan.pairs(heads: heads, depth: depth))
        k = k.picking(RelationPlan.pairs(heads: 1, depth: depth))
      }
      let turned: Relation.Kind = query == 1 ? .permuted : .identical
      switch joins {
      case 0: put(to + "qkv", Matrix(q.rows + k.rows + v.rows), .concatenated, dtype)
      case 1 where query != 1:
        var rows: [[Float]] = []
        for group in 0..<2 {
          for part in [q, k, v] {
            let half = part.rows.count / 2
            rows += part.rows[(group * half)..<((group + 1) * half)]
          }
        }
        put(to + "qkv", Matrix(rows), .concatenated, dtype)
      case 2:
        put(to + "q", q.transposed, query == 1 ? .permuted : .transposed, dtype)
        put(to + "k", k.transposed, query == 1 ? .permuted : .transposed, dtype)
        put(to + "v", v.transposed, .transposed, dtype)
      default:
        for (name, matrix) in [("q", q), ("k", k)] { put(to + name, matrix, turned, dtype) }
        put(to + "v", v, .identical, dtype)
      }
      let fused = Matrix(3 * depth, width, &random)
      add(from + "fused", fused)
      switch splits {
      case 0:
        for part in 0..<3 {
          put(to + "part\(part)", Matrix(Array(fused.rows[(part * depth)..<((part + 1) * depth)])), .split, dtype)
        }
      case 1:
        for part in 0..<2 {
          put(
            to + "part\(part)", Matrix(fused.rows.map { Array($0[(part * width / 2)..<((part + 1) * width / 2)]) }),
            .split, dtype)
        }
      default:
        let order = (0..<(3 * depth)).map { $0 % 3 * depth + $0 / 3 }
        put(to + "mixed", key == 0 ? fused : fused.picking(order), key == 0 ? .identical : .permuted, dtype)
      }
      let all = (0..<experts).map { _ in Matrix(16, width, &random) }
      for (index, matrix) in all.enumerated() { add(from + "experts.\(index).up", matrix) }
      switch stacks {
      case 0:
        let parts = turns == 0 ? all : all.map(\.transposed)
        let values = parts.flatMap { $0.rows.joined() }.map { Double($0) }
        let shape = [experts, parts[0].rows.count, parts[0].width]
        output.append((to + "experts", try Tensor(dtype, shape: shape, doubles: values), .concatenated))
      case 1:
        for (index, matrix) in all.enumerated() { try quantize(to + "experts.\(index).up", matrix, group: turns == 0) }
      default:
        for (index, matrix) in all.enumerated() { put(to + "experts.\(index).up", matrix, .identical, dtype) }
      }
    }
  }

  private mutating func add(_ name: String, _ matrix: Matrix) {
    if let tensor = try? matrix.tensor() { source.append((name, tensor)) }
  }

  private mutating func put(_ name: String, _ matrix: Matrix, _ kind: Relation.Kind, _ dtype: DType) {
    guard let tensor = try? matrix.tensor(dtype) else { return }
    output.append((name, tensor, kind == .identical && dtype != .float32 ? .cast : kind))
  }

  /// Whole numbers of 8 bits with a float32 scale for each row, or for each 8 numbers of one.
  private mutating func quantize(_ name: String, _ matrix: Matrix, group: Bool) throws {
    let size = group ? 8 : matrix.width
    var (codes, scales): ([Int64], [Float]) = ([], [])
    for row in matrix.rows {
      for start in stride(from: 0, to: row.count, by: size) {
        let part = row[start..<(start + size)]
        let scale = (part.map(\.magnitude).max() ?? 0) / 127
        scales.append(scale)
        codes += part.map { Int64(($0 / scale).rounded(.toNearestOrEven)) }
      }
    }
    let shape = [matrix.rows.count, matrix.width]
    output.append((name, try Tensor(.int8, shape: shape, integers: codes), .quantized))
    output.append((name + "_scale", Tensor(scales, shape: [matrix.rows.count, matrix.width / size]), .scale))
  }

  /// Rows by halves as rows by pairs.
  static func pairs(heads: Int, depth: Int) -> [Int] {
    (0..<heads).flatMap { head in (0..<depth).map { head * depth + $0 % 2 * depth / 2 + $0 / 2 } }
  }

  func verification(threads: Int = 2) throws -> Verification {
    try Verification(
      output.map { RelationPlan.entry($0.name, $0.tensor) },
      source: source.map { RelationPlan.entry($0.name, $0.tensor) },
      threads: threads)
  }

  static func entry(_ name: String, _ tensor: Tensor, file: String = "") -> TensorStore.Entry {
    TensorStore.Entry(TensorName(name), tensor.dtype, shape: tensor.shape, file: file + name) { tensor.bytes }
  }
}
