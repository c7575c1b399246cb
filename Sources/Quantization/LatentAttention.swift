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

/// Finds the layers that make vectors which only norms and then linear layers read.
public struct LatentFinder {
  private let graph: Graph
  private let finder: LinearFinder
  private let byOutput: [ValueID: LinearSite]

  public init(_ graph: Graph) {
    self.graph = graph
    finder = LinearFinder(graph)
    byOutput = LinearFinder.byOutput(finder.sites())
  }

  /// The weight whose first rows make what a norm reads; nil where something else does, or reads it too.
  public func source(of norm: Subgraph) -> TensorName? {
    guard let (scaled, _) = graph.producer(of: norm.value, as: Multiply.self),
      let place = scaled.operands.firstIndex(where: { finder.weight($0) == nil }),
      let input = normed(scaled.operands[place])
    else { return nil }
    if let site = byOutput[input], site.bias == nil { return site.layer.weight }
    guard let (split, _) = graph.producer(of: input, as: Split.self), split.results[0] == input,
      let site = byOutput[split.operands[0]], site.bias == nil
    else { return nil }
    return site.layer.weight
  }

  /// What a value is that was divided by its size, perhaps in another type.
  private func normed(_ value: ValueID) -> ValueID? {
    func plain(_ value: ValueID) -> ValueID {
      var value = value
      while let (cast, _) = graph.producer(of: value, as: Cast.self) { value = cast.operands[0] }
      return value
    }
    guard let (product, _) = graph.producer(of: plain(value), as: Multiply.self),
      let place = product.operands.firstIndex(where: { graph.producer(of: $0, as: Rsqrt.self) == nil })
    else { return nil }
    return plain(product.operands[place])
  }
}
