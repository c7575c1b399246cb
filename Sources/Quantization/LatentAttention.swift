public import IR
public import Tensors

/// Attention whose keys and values come from one small vector for each token, the same for all heads, as DeepSeek's.
///
/// When such a model runs, queries are multiplied with the weight that keys are made with, and meet the vectors of
/// tokens themselves: these are what is stored, and what is quantized.
public struct LatentAttention: Sendable {
  /// The module that has all its layers, `model.layers.0.self_attn`.
  public let module: String
  /// Makes keys and values of all heads, [heads · (depth + depth of values), rank].
  public let weight: TensorName
  /// The vectors of tokens, [batch, sequence, rank].
  public let latent: ValueID
  /// What of the queries is not rotated, [batch, heads, sequence, depth].
  public let queries: ValueID
  public let heads: Int
  public let depth: Int

  /// Queries as they meet the vectors of tokens: for each head the rows of all tokens side by side, rounded to the
  /// queries' type.
  public func absorbed(_ queries: Tensor, _ weight: Matrix, _ threads: KernelThreads) throws -> [[Float]] {
    let (batch, length, rows) = (queries.shape[0], queries.shape[2], weight.rows / heads)
    let values = try Matrix(queries)
    return try (0..<heads).map { head in
      let keys = weight.part(head * rows..<head * rows + depth, 0..<weight.columns)
      return try (0..<batch).flatMap { index in
        let start = (index * heads + head) * length
        let product = try values.part(start..<start + length, 0..<depth).times(keys, threads)
        return try product.values.rounded(to: queries.dtype)
      }
    }
  }
}

extension AttentionCacheFinder {
  /// - Parameter cached: the values that are cached, a layer's keys before its values.
  public func latent(_ cached: [ValueID]) -> [LatentAttention] {
    stride(from: 0, to: cached.count - cached.count % 2, by: 2).compactMap { index in
      let keys = cached[index]
      guard let (parts, _) = graph.producer(of: keys, as: Concat.self), parts.operands.count == 2,
        let joint = queries(keys), let (query, _) = graph.producer(of: joint, as: Concat.self),
        query.operands.count == 2, case .known(let heads) = graph.type(of: keys).dims[1],
        case .known(let depth) = graph.type(of: query.operands[0]).dims[3],
        graph.type(of: parts.operands[0]).dims[3] == .known(depth), let (site, scale) = origin(parts.operands[0]),
        case .linear(_, bias: nil) = scale
      else { return nil }
      let module = site.layer.module.split(separator: ".").dropLast().joined(separator: ".")
      return LatentAttention(
        module: module, weight: site.layer.weight, latent: site.input, queries: query.operands[0], heads: heads,
        depth: depth)
    }
  }
}
