import Tensors

/// Which keys a query sees, and what is added to their scores.
struct AttentionMask {
  /// The score of a key that a query does not see: the lowest float32, so that a query that sees none takes the mean.
  static let hidden = -Double(Float.greatestFiniteMagnitude)

  /// By batch, head, query and key, after broadcasting: added to the score, or true for visible; nil without a mask.
  var added: (values: [Double], indices: [Int])?
  var visible: (values: [Bool], indices: [Int])?
  /// The query of number i sees keys up to number `i + offset`.
  var causalOffset: Int?

  func apply(_ score: Double, at index: Int, query: Int, key: Int) -> Double {
    if let causalOffset, key > query + causalOffset { return AttentionMask.hidden }
    if let visible, !visible.values[visible.indices[index]] { return AttentionMask.hidden }
    if let added { return score + added.values[added.indices[index]] }
    return score
  }
}

/// `softmax(mask(scale * q * transpose(k))) * v` for q [B,H,S,D], k [B,G,T,D] and v [B,G,T,E], where head h reads group
/// h / (H / G). Rounded once.
func scaledDotProduct(_ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Double, mask: AttentionMask) throws -> Tensor {
  let (batches, heads, queries, depth) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
  let (groups, keys, width) = (k.shape[1], k.shape[2], v.shape[3])
  let (x, y, z) = (q.doubles, k.doubles, v.doubles)
  var result = [Double](repeating: 0, count: batches * heads * queries * width)
  var scores = [Double](repeating: 0, count: keys)
  for row in 0..<batches * heads * queries {
    let (head, query) = (row / queries, row % queries)
    let group = head / heads * groups + head % heads / (heads / groups)
    for key in 0..<keys {
      var sum = 0.0
      for d in 0..<depth { sum += x[row * depth + d] * y[(group * keys + key) * depth + d] }
      scores[key] = mask.apply(sum * scale, at: row * keys + key, query: query, key: key)
    }
    let largest = scores.max() ?? 0
    var sum = 0.0
    for key in 0..<keys {
      scores[key] = exponential(scores[key] - largest)
      sum += scores[key]
    }
    for key in 0..<keys {
      let weight = scores[key] / sum
      for e in 0..<width { result[row * width + e] += weight * z[(group * keys + key) * width + e] }
    }
  }
  return try Tensor(q.dtype, shape: [batches, heads, queries, width], doubles: result)
}

/// The result of attention over q [B,H,S,D], k [B,G,T,D] and v [B,G,T,E], and the shape of its scores, [B,H,S,T]; or
/// nil when the shapes do not fit, H being a multiple of G.
func attentionShapes(_ q: TensorType, _ k: TensorType, _ v: TensorType) -> (result: TensorType, scores: [Dim])? {
  guard q.rank == 4, k.rank == 4, v.rank == 4, let batch = unify(q.dims[0], k.dims[0]), unify(batch, v.dims[0]) != nil,
    case .known(let heads) = q.dims[1], case .known(let groups) = k.dims[1], k.dims[1] == v.dims[1],
    groups > 0, heads % groups == 0, unify(q.dims[3], k.dims[3]) != nil, let keys = unify(k.dims[2], v.dims[2])
  else { return nil }
  return (TensorType(q.dtype, [batch, q.dims[1], q.dims[2], v.dims[3]]), [batch, q.dims[1], q.dims[2], keys])
}

/// Both products of an attention over q [B,H,S,D], k [B,G,T,D] and v [B,G,T,E], and its softmax as five operations for
/// each score; keys that a mask hides count like others.
func attentionCost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost {
  let (q, k, v) = (operands[0], operands[1], operands[2])
  let scores = q.elementCount / max(q.last(0), 1) * k.last(1)
  return OpCost(
    operations: scores * (2 * q.last(0) + 2 * v.last(0) + 5), bytes: operands.byteCount + results.byteCount)
}
