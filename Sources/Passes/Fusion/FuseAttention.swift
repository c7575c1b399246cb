import IR
import Tensors

/// `softmax(q · kᵀ · scale + bias) · v` becomes `attention`; repeated heads become groups, a bias made from a boolean
/// mask the mask itself, a mask of positions up to the query's own the attribute `causal`.
public struct FuseAttention: FusionPass {
  public let name = "fuse-attention"
  let result = "attention"
  let roots: [any Op.Type] = [MatMul.self]
  let patterns: [Pattern]
  private let keepsCausalMask: Bool
  /// A score, or a sum to one, that is at most this is hidden whatever the others are.
  fileprivate static let lowest = -60000.0

  /// - Parameter keepsCausalMask: leave causality in the mask, for targets whose operator takes it there.
  public init(keepsCausalMask: Bool = false) {
    self.keepsCausalMask = keepsCausalMask
    let (q, k) = (Pattern.value("q"), Pattern.value("kT"))
    let product = Pattern.op(MatMul.self, q, k)
    let scores = Pattern.either([
      product * .number("scale"), product / .number("divisor"),
      .op(MatMul.self, q * .number("scale"), k * .number("keyScale")),
      .op(MatMul.self, q * .number("scale"), k), product,
    ])
    func attend(_ scores: Pattern) -> Pattern {
      let softmax = Pattern.node(
        Softmax.self, { op in (op as? Softmax).map { $0.axis == -1 || $0.axis == 3 } ?? false }, [.maybeCast(scores)])
      return .op(MatMul.self, .maybeCast(softmax), .value("v"))
    }
    let lowest = Pattern.number("lowest")
    patterns = [
      attend(scores + .value("bias")), attend(.op(Where.self, .value("shown"), scores, lowest)),
      attend(.op(Where.self, .value("hidden"), lowest, scores)), attend(scores),
    ]
  }

  func fuse(_ match: Match, in graph: inout Graph, at _: ValueID) -> Fusion {
    guard graph.type(of: match["q"]).rank == 4, graph.type(of: match["kT"]).rank == 4,
      graph.type(of: match["v"]).rank == 4
    else {
      return .declined("queries, keys and values are not [batch, heads, length, size]")
    }
    let (keys, values) = (graph.swappingLast(match["kT"]), match["v"])
    let groupedKeys = graph.unrepeated(keys), groupedValues = graph.unrepeated(values)
    let isGrouped = graph.type(of: groupedKeys).dims[1] == graph.type(of: groupedValues).dims[1]
    var operands = [match["q"], isGrouped ? groupedKeys : keys, isGrouped ? groupedValues : values]
    if let lowest = match.numbers["lowest"], lowest > FuseAttention.lowest {
      return .declined("hidden scores are \(lowest), which is not low enough")
    }
    var mask = match.values["shown"]
    if let hidden = match.values["hidden"] { mask = graph.inverted(hidden) }
    if let bias = match.values["bias"] { mask = graph.maskOfBias(bias) }
    var causal = false
    if let mask, !keepsCausalMask, let rest = graph.withoutCausality(mask) {
      causal = true
      if let rest { operands.append(rest) }
    } else if let mask = mask ?? match.values["bias"] {
      operands.append(mask)
    }
    let scale = (match.numbers["scale"] ?? 1) * (match.numbers["keyScale"] ?? 1) / (match.numbers["divisor"] ?? 1)
    return .replaced(Attention(scale: scale, causal: causal), operands)
  }
}

extension Graph {
  /// The value with its last two of four dimensions exchanged, through as few transposes as possible.
  mutating func swappingLast(_ value: ValueID) -> ValueID {
    guard let (node, op) = producer(of: value, as: Transpose.self) else {
      return insert(Transpose(permutation: [0, 1, 3, 2]), [value])
    }
    let permutation = [op.permutation[0], op.permutation[1], op.permutation[3], op.permutation[2]]
    return permutation == [0, 1, 2, 3] ? node.operands[0] : insert(Transpose(permutation: permutation), node.operands)
  }

  /// The heads before each was repeated: undoes `reshape(expand(unsqueeze(x)))`.
  func unrepeated(_ value: ValueID) -> ValueID {
    guard let (reshape, _) = producer(of: value, as: Reshape.self),
      let (expand, _) = producer(of: reshape.operands[0], as: Expand.self),
      let (unsqueeze, op) = producer(of: expand.operands[0], as: Unsqueeze.self), op.axis == 2
    else { return value }
    let (before, wide, after) = (
      type(of: unsqueeze.operands[0]).dims, type(of: reshape.operands[0]).dims, type(of: value).dims
    )
    guard before.count == 4, wide.count == 5, after.count == 4, [wide[0], wide[1], wide[3], wide[4]] == before,
      [after[0], after[2], after[3]] == [before[0], before[2], before[3]]
    else { return value }
    return unsqueeze.operands[0]
  }

  /// The boolean mask of `where(mask, 0, lowest)`, or of `where(hidden, lowest, 0)`.
  mutating func maskOfBias(_ bias: ValueID) -> ValueID? {
    guard let (node, _) = producer(of: bias, as: Where.self), let a = scalarConstant(node.operands[1])?.number,
      let b = scalarConstant(node.operands[2])?.number
    else { return nil }
    if a == 0, b <= FuseAttention.lowest { return node.operands[0] }
    return b == 0 && a <= FuseAttention.lowest ? inverted(node.operands[0]) : nil
  }

  /// Where a mask is false.
  fileprivate mutating func inverted(_ mask: ValueID) -> ValueID {
    if let (not, _) = producer(of: mask, as: Not.self) { return not.operands[0] }
    return insert(Not(), [mask])
  }

  /// What remains of a mask when causality is taken out: nil when it is not causal, `.some(nil)` when nothing remains.
  func withoutCausality(_ mask: ValueID) -> ValueID?? {
    if isCausal(mask) { return .some(nil) }
    guard let (node, _) = producer(of: mask, as: And.self) else { return nil }
    for (a, b) in [(0, 1), (1, 0)] where isCausal(node.operands[a]) { return .some(node.operands[b]) }
    return nil
  }

  /// Whether a mask [..., S, T] is `key ≤ query + T - S`, of positions counted from 0.
  private func isCausal(_ mask: ValueID) -> Bool {
    guard let (compare, _) = producer(of: unexpanded(mask), as: LessOrEqual.self) else { return false }
    let type = type(of: mask)
    guard type.rank >= 2 else { return false }
    let (queryDim, keyDim) = (type.dims[type.rank - 2], type.dims[type.rank - 1])
    guard let keys = counted(compare.operands[0]), keys == keyDim, isOnly(keyDim, compare.operands[0], fromEnd: 1),
      isOnly(queryDim, compare.operands[1], fromEnd: 2),
      let (sum, _) = producer(of: unexpanded(compare.operands[1]), as: Add.self)
    else { return false }
    for (a, b) in [(0, 1), (1, 0)] {
      guard let queries = counted(sum.operands[a]), queries == queryDim,
        let (past, _) = producer(of: unexpanded(sum.operands[b]), as: Subtract.self),
        measured(past.operands[0]) == keyDim, measured(past.operands[1]) == queryDim
      else { continue }
      return true
    }
    return false
  }

  /// Whether the value's dimensions are all 1 but the one at `fromEnd`, which is `dim`.
  private func isOnly(_ dim: Dim, _ value: ValueID, fromEnd: Int) -> Bool {
    let dims = type(of: value).dims
    return dims.count >= fromEnd && dims.indices.allSatisfy { dims[$0] == ($0 == dims.count - fromEnd ? dim : 1) }
  }

  /// The dimension that a value counts through, `0, 1, 2, …`.
  private func counted(_ value: ValueID) -> Dim? {
    guard let (node, op) = producer(of: unexpanded(value), as: Iota.self) else { return nil }
    return dimension(of: node.operands[0], op.axis)
  }

  /// The dimension whose size a value is.
  private func measured(_ value: ValueID) -> Dim? {
    guard let (node, op) = producer(of: unexpanded(value), as: Size.self) else { return nil }
    return dimension(of: node.operands[0], op.axis)
  }

  private func dimension(of value: ValueID, _ axis: Int) -> Dim {
    let dims = type(of: value).dims
    return dims[axis < 0 ? axis + dims.count : axis]
  }

  /// The value below operators that only add dimensions of 1.
  private func unexpanded(_ value: ValueID) -> ValueID {
    guard let (node, _) = producer(of: value, as: Unsqueeze.self) else { return value }
    return unexpanded(node.operands[0])
  }
}
