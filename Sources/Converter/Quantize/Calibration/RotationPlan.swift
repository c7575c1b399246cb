import IR
import Quantization
import Tensors

/// How a model is rotated.
struct Rotation: Sendable {
  /// Runs of channels that are rotated together; nil rotates all at once.
  var blockSize: Int?
  /// Whether the residual stream stays as it is.
  var headsOnly = false
}

/// What rotation does to each weight: gains of norms go into the layers that read them, the residual stream is rotated
/// where it is written and turned back where it is read, and so are the values of each head of attention.
///
/// The float model computes the same as before. Source: QuaRot (Ashkboos et al. 2024).
struct RotationPlan {
  private enum Edit {
    /// Columns times the gain of a norm.
    case takeGain(TensorName)
    /// The gain becomes one.
    case clearGain
    case columns(HadamardRotation)
    case rows(HadamardRotation)
  }

  private var edits: [TensorName: [Edit]] = [:]
  /// With which to multiply matrices, as msModelSlim does; nil to take few steps.
  private let products: KernelThreads?

  /// Throws ``ErrorCode/unsupportedFeature`` for a model whose residual stream cannot be rotated.
  init(
    _ rotation: Rotation, _ graph: Graph, _ subgraphs: [Subgraph], _ weights: TensorStore, products: KernelThreads?
  ) throws {
    self.products = products
    if !rotation.headsOnly { try rotateStream(rotation, graph, subgraphs) }
    try rotateHeads(subgraphs)
  }

  private mutating func rotateStream(_ rotation: Rotation, _ graph: Graph, _ subgraphs: [Subgraph]) throws {
    let stream = try ResidualStream(graph)
    let residual = try RotationPlan.residual(rotation, width: stream.width)
    let norms = Dictionary(
      subgraphs.filter { $0.kind == .normLinear }.map { ($0.value, $0) }, uniquingKeysWith: { first, _ in first })
    for value in stream.reads {
      guard let norm = norms[value], norm.sourceBias == nil else {
        throw BessemerError(
          .unsupportedFeature,
          "the residual stream is read by more than norms without bias before linear layers; it cannot be rotated")
      }
      for reader in norm.readers {
        edits[reader.weight, default: []] += [.takeGain(norm.sourceWeight), .columns(residual)]
      }
      edits[norm.sourceWeight, default: []].append(.clearGain)
    }
    for table in stream.tables { edits[table, default: []].append(.columns(residual)) }
    for name in stream.writers { edits[name, default: []].append(.rows(residual)) }
    // Twice the same weight is a tied one: it would have to be two.
    if let tied = stream.tables.first(where: { (edits[$0]?.count ?? 0) > 1 }) {
      throw BessemerError(
        .unsupportedFeature,
        "\(quoted(tied.string)) is the table of embeddings and the head at once, which need other rotations")
    }
  }

  private mutating func rotateHeads(_ subgraphs: [Subgraph]) throws {
    for subgraph in subgraphs where subgraph.kind == .outputValue {
      guard let heads = subgraph.heads, let head = HadamardRotation(size: heads.depth) else { continue }
      edits[subgraph.sourceWeight, default: []].append(.rows(head))
      if let bias = subgraph.sourceBias { edits[bias, default: []].append(.rows(head)) }
      edits[subgraph.readers[0].weight, default: []].append(.columns(head))
    }
  }

  /// The rotation of the residual stream of a model; nil when only heads are rotated.
  static func residual(_ rotation: Rotation, _ graph: Graph) throws -> HadamardRotation? {
    rotation.headsOnly ? nil : try residual(rotation, width: ResidualStream(graph).width)
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
  func apply(to name: TensorName, in weights: inout PreparedWeights) throws {
    for edit in edits[name] ?? [] {
      var matrix = try weights.matrix(name)
      switch edit {
      case .takeGain(let norm):
        // The gain as it was: the norm may have been cleared already.
        let gain = try Matrix(weights.base.tensor(norm)).values
        for index in matrix.values.indices { matrix.values[index] *= gain[index % matrix.columns] }
      case .clearGain: matrix = Matrix(rows: 1, columns: matrix.columns, values: matrix.values.map { _ in 1 })
      case .columns(let rotation): try rotateColumns(&matrix, rotation)
      // A bias is one row of numbers that stand under one another.
      case .rows(let rotation) where matrix.rows == 1: try rotateColumns(&matrix, rotation)
      case .rows(let rotation):
        if let products { try rotation.multiplyRows(&matrix, products) } else { rotation.rotateRows(&matrix) }
      }
      try weights.set(name, matrix)
    }
  }

  private func rotateColumns(_ matrix: inout Matrix, _ rotation: HadamardRotation) throws {
    if let products { try rotation.multiplyColumns(&matrix, products) } else { rotation.rotateColumns(&matrix) }
  }
}
