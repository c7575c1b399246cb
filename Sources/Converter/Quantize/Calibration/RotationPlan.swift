import IR
import Quantization
import Tensors

/// How a model is rotated.
struct Rotation: Sendable {
  /// How the channels of a head, or of a latent vector that queries are made of, are rotated.
  enum Heads: Sendable {
    /// By one matrix, or one for each block.
    case plain
    /// See ``ShiftedRotation``.
    case shifted
  }

  /// Runs of channels that are rotated together; nil rotates all at once.
  var blockSize: Int?
  /// Whether the residual stream stays as it is.
  var headsOnly = false
  var heads = Heads.plain
  /// Where it starts from the rotation of the residual stream, and parts of names of layers whose inputs it looks at.
  var search: (search: RotationSearch, layers: [String])?

  /// The rotation of channels that no norm stands in the way of; nil where there is none.
  func heads(_ size: Int, _ heads: Heads) -> (any ChannelRotation)? {
    if heads == .shifted { return ShiftedRotation(size: size, block: blockSize ?? 32) }
    let block = blockSize.map { min($0, size) } ?? size
    return size % block == 0 ? HadamardRotation(size: block) : nil
  }
}

/// What rotation does to each weight: gains of norms go into the layers that read them, the residual stream is rotated
/// where it is written and turned back where it is read, and so are the values of each head of attention and vectors
/// that keys, values and queries are made of.
///
/// The float model computes the same as before. Source: QuaRot (Ashkboos et al. 2024).
struct RotationPlan {
  private enum Edit {
    /// Columns times the gain of a norm.
    case takeGain(TensorName)
    /// The gain becomes one.
    case clearGain
    case columns(any ChannelRotation)
    /// Of every so many rows those in a range.
    case rows(any ChannelRotation, Range<Int>, of: Int)

    var isGain: Bool {
      switch self {
      case .takeGain, .clearGain: true
      case .columns, .rows: false
      }
    }

    /// Whether what becomes of a row does not depend on others.
    var keepsRowsApart: Bool { if case .rows = self { false } else { true } }
  }

  private var edits: [TensorName: [Edit]] = [:]
  /// With which to multiply matrices, as msModelSlim does; nil to take few steps.
  private let products: KernelThreads?

  /// Throws ``ErrorCode/unsupportedFeature`` for a model whose residual stream cannot be rotated.
  ///
  /// - Parameters:
  ///   - products: with which to multiply matrices, as msModelSlim does; nil to take few steps.
  ///   - found: what the residual stream is rotated by, if it was searched for.
  init(
    _ rotation: Rotation, _ graph: CalibrationGraph, _ subgraphs: [Subgraph], _ weights: TensorStore,
    products: KernelThreads?, found: DenseRotation? = nil
  ) throws {
    self.products = products
    let latent = AttentionCacheFinder(graph.graph).latent(graph.cached)
    let norms = SubgraphFinder(graph.graph).norms()
    if !rotation.headsOnly { try rotateStream(rotation, graph, norms, weights, found) }
    try rotateHeads(rotation, subgraphs)
    if !rotation.headsOnly { try rotateLatent(rotation, graph, norms, latent, weights) }
    // Gains are taken before anything is rotated.
    edits = edits.mapValues { edits in edits.filter(\.isGain) + edits.filter { !$0.isGain } }
  }

  private mutating func rotateStream(
    _ rotation: Rotation, _ graph: CalibrationGraph, _ norms: [ValueID: Subgraph], _ weights: TensorStore,
    _ found: DenseRotation?
  ) throws {
    let stream = try ResidualStream(graph.graph)
    let residual = try found ?? own(RotationPlan.residual(rotation, width: stream.width))
    let finder = SubgraphFinder(graph.graph)
    for value in stream.reads {
      guard let norm = norms[finder.uncast(value)], norm.sourceBias == nil else {
        throw BessemerError(
          .unsupportedFeature,
          "the residual stream is read by more than norms without bias before linear layers; it cannot be rotated")
      }
      takeGain(norm, residual)
    }
    for table in stream.tables { edits[table, default: []].append(.columns(residual)) }
    for name in stream.writers {
      let rows = weights[name]?.shape[0] ?? stream.width
      edits[name, default: []].append(.rows(residual, 0..<rows, of: rows))
    }
    // Twice the same weight is a tied one: it would have to be two.
    if let tied = stream.tables.first(where: { (edits[$0]?.count ?? 0) > 1 }) {
      throw BessemerError(
        .unsupportedFeature,
        "\(quoted(tied.string)) is the table of embeddings and the head at once, which need other rotations")
    }
  }

  private mutating func rotateLatent(
    _ rotation: Rotation, _ graph: CalibrationGraph, _ norms: [ValueID: Subgraph], _ latent: [LatentAttention],
    _ weights: TensorStore
  ) throws {
    let finder = LatentFinder(graph.graph)
    for norm in norms.values.sorted(by: { $0.source < $1.source }) where norm.sourceBias == nil {
      guard let source = finder.source(of: norm), let size = weights[norm.sourceWeight]?.shape[0],
        let rows = weights[source]?.shape[0],
        let found = rotation.heads(size, latent.contains { $0.latent == norm.value } ? .plain : .shifted)
      else { continue }
      let own = try own(found)
      takeGain(norm, own)
      edits[source, default: []].append(.rows(own, 0..<size, of: rows))
    }
  }

  /// As it is carried out.
  private func own(_ rotation: any ChannelRotation) throws -> any ChannelRotation {
    try products.map { DenseRotation(try rotation.matrix(rotation.size), $0) } ?? rotation
  }

  private mutating func takeGain(_ norm: Subgraph, _ rotation: any ChannelRotation) {
    for reader in norm.readers {
      edits[reader.weight, default: []] += [.takeGain(norm.sourceWeight), .columns(rotation)]
    }
    edits[norm.sourceWeight, default: []].append(.clearGain)
  }

  private mutating func rotateHeads(_ rotation: Rotation, _ subgraphs: [Subgraph]) throws {
    for subgraph in subgraphs where subgraph.kind == .outputValue {
      guard let heads = subgraph.heads, let found = rotation.heads(heads.depth, rotation.heads) else { continue }
      let head = try own(found)
      let all = heads.keyDepth + heads.depth
      for name in [subgraph.sourceWeight] + (subgraph.sourceBias.map { [$0] } ?? []) {
        edits[name, default: []].append(.rows(head, heads.keyDepth..<all, of: all))
      }
      edits[subgraph.readers[0].weight, default: []].append(.columns(head))
    }
  }

  /// The rotation of the residual stream of a model; nil when only heads are rotated.
  static func residual(_ rotation: Rotation, _ graph: Graph) throws -> Matrix? {
    guard !rotation.headsOnly else { return nil }
    let width = try ResidualStream(graph).width
    return try residual(rotation, width: width).matrix(width)
  }

  private static func residual(_ rotation: Rotation, width: Int) throws -> HadamardRotation {
    let size = rotation.blockSize ?? width
    guard let found = HadamardRotation(size: size), width % size == 0 else {
      throw BessemerError(
        .unsupportedFeature,
        "\(width) channels cannot be rotated by \(size): no Hadamard matrix is known for it, or it does not divide them"
      )
    }
    return found
  }

  /// Each edit is computed in float32 and rounded to the weight's type.
  ///
  /// - Parameter gainsOnly: whether nothing is rotated, but gains have gone into layers.
  func apply(to name: TensorName, in weights: inout PreparedWeights, gainsOnly: Bool = false) throws {
    let edits = (edits[name] ?? []).filter { !gainsOnly || $0.isGain }
    guard !edits.isEmpty else { return }
    let (base, dtype) = (weights.base, try weights.dtype(of: name))
    func change(_ matrix: inout Matrix) throws {
      for edit in edits {
        try RotationPlan.apply(edit, to: &matrix, base)
        matrix.values = try matrix.values.rounded(to: dtype)
      }
    }
    if edits.allSatisfy(\.keepsRowsApart) { return try weights.changeRows(of: name, change) }
    var matrix = try weights.matrix(name)
    try change(&matrix)
    try weights.set(name, matrix)
  }

  private static func apply(_ edit: Edit, to matrix: inout Matrix, _ base: TensorStore) throws {
    switch edit {
    case .takeGain(let norm):
      // The gain as it was: the norm may have been cleared already.
      matrix = matrix.scalingColumns(try Matrix(base.tensor(norm)).values)
    case .clearGain: matrix.values = matrix.values.map { _ in 1 }
    case .columns(let rotation): try rotation.rotateColumns(&matrix)
    case .rows(let rotation, let range, let period):
      // A bias is one row of numbers that stand under one another.
      let width = matrix.rows == 1 ? 1 : matrix.columns
      try rotate(&matrix.values, width: width, range, of: period, rotation)
    }
  }

  /// Rotates some of every so many rows of a width.
  private static func rotate(
    _ values: inout [Float], width: Int, _ range: Range<Int>, of period: Int, _ rotation: any ChannelRotation
  ) throws {
    let starts = stride(from: range.lowerBound * width, to: values.count, by: period * width)
    let count = range.count * width
    var part = Matrix(
      rows: starts.underestimatedCount * range.count, columns: width, values: starts.flatMap { values[$0..<$0 + count] }
    )
    try rotation.rotateRows(&part)
    for (index, start) in starts.enumerated() {
      values.replaceSubrange(start..<start + count, with: part.values[index * count..<(index + 1) * count])
    }
  }
}
