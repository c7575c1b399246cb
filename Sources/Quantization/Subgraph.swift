public import IR
public import Tensors

/// A place where the channels of a value can be scaled without changing what the model computes: its source gives each
/// channel divided, those that read it multiply.
public struct Subgraph: Sendable {
  /// In the order in which they are smoothed: each sees the weights that the ones before it left.
  public enum Kind: String, Sendable, CaseIterable, Comparable {
    /// The up projection of a gated feed-forward, and what projects down.
    case upDown = "up-down"
    /// The values of attention, and the projection of its outputs.
    case outputValue = "ov"
    /// One linear layer directly after another.
    case linearLinear = "linear-linear"
    /// A norm and the linear layers that read it.
    case normLinear = "norm-linear"

    public static func < (a: Kind, b: Kind) -> Bool {
      allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
    }
  }

  /// How query heads share the heads of keys and values.
  public struct Heads: Sendable, Equatable {
    public let query: Int
    public let keyValue: Int
    public let depth: Int
    /// Rows of the source before those of each head's values, where it makes keys as well.
    public let keyDepth: Int

    public init(query: Int, keyValue: Int, depth: Int, keyDepth: Int = 0) {
      (self.query, self.keyValue, self.depth, self.keyDepth) = (query, keyValue, depth, keyDepth)
    }
  }

  public let kind: Kind
  /// The module whose outputs are divided: a linear layer or a norm.
  public let source: String
  /// Its weight and, where it has one, its bias.
  public let sourceWeight: TensorName
  public let sourceBias: TensorName?
  /// The linear layers that read the value.
  public let readers: [LinearLayer]
  /// The value between them; of an expert's up and down projections the input of all experts.
  public let value: ValueID
  public let heads: Heads?
  /// Numbers for the rows of the source, of those for the channels of ``value``: 1 for rows that make keys.
  public func rows(_ channels: [Float]) -> [Float] {
    guard let heads, heads.keyDepth > 0 else { return channels }
    return stride(from: 0, to: channels.count, by: heads.depth).flatMap {
      [Float](repeating: 1, count: heads.keyDepth) + channels[$0..<$0 + heads.depth]
    }
  }

  /// Whether it is inside an expert, so that the value itself is not in the graph.
  public var isInExpert: Bool { readers.first?.role == .expert && kind == .upDown }
}

/// Finds subgraphs that can be smoothed, and the norms before linear layers.
public struct SubgraphFinder {
  private let graph: Graph
  private let finder: LinearFinder
  private let sites: [LinearSite]
  private let byInput: [ValueID: [LinearSite]]
  private let byOutput: [ValueID: LinearSite]

  public init(_ graph: Graph) {
    self.graph = graph
    finder = LinearFinder(graph)
    sites = finder.sites()
    byInput = Dictionary(grouping: sites, by: \.input)
    byOutput = LinearFinder.byOutput(sites)
  }

  /// All of them, in the graph's order. A value that anything else reads too is left out, and so is a weight that is
  /// used twice.
  public func subgraphs() -> [Subgraph] {
    let uses = sites.reduce(into: [TensorName: Int]()) { $0[$1.layer.weight, default: 0] += 1 }
    var found: [Subgraph] = []
    var seen: Set<ValueID> = []
    for site in sites where seen.insert(site.input).inserted {
      guard let readers = byInput[site.input] else { continue }
      let layers = readers.filter { $0.expertPart != 2 }.map(\.layer)
      if readsOnly(site.input, readers), layers.allSatisfy({ uses[$0.weight] == 1 }) {
        if let found1 = norm(before: site.input, layers) {
          found.append(found1)
        } else if readers.count == 1, let found1 = linear(before: site, uses) {
          found.append(found1)
        }
      }
      // What experts have inside is read by nothing else, whatever reads what they read.
      found += experts(readers, uses)
    }
    return found
  }

  /// The norms before linear layers, by what these read; some may read it in another type.
  public func norms() -> [ValueID: Subgraph] {
    let readers = Dictionary(grouping: sites) { uncast($0.input) }
    var found: [ValueID: Subgraph] = [:]
    for (value, sites) in readers {
      let nodes = Set(sites.map(\.node))
      func isRead(_ value: ValueID) -> Bool {
        !graph.isRoot(value)
          && graph.users(of: value).allSatisfy {
            nodes.contains($0) || graph[$0].op is Cast && isRead(graph[$0].results[0])
          }
      }
      guard isRead(value) else { continue }
      found[value] = norm(before: value, sites.filter { $0.expertPart != 2 }.map(\.layer))
    }
    return found
  }

  /// The value before it was widened or rounded.
  public func uncast(_ value: ValueID) -> ValueID {
    var value = value
    while let (cast, _) = graph.producer(of: value, as: Cast.self) { value = cast.operands[0] }
    return value
  }

  /// Whether nothing but these layers reads the value.
  private func readsOnly(_ value: ValueID, _ readers: [LinearSite]) -> Bool {
    let nodes = Set(readers.map(\.node))
    return !graph.isRoot(value) && graph.users(of: value).allSatisfy { nodes.contains($0) }
  }

  /// `weight * normalized`, the last steps of an RMS or layer norm.
  private func norm(before value: ValueID, _ readers: [LinearLayer]) -> Subgraph? {
    var product = value
    var bias: TensorName?
    while let (cast, _) = graph.producer(of: product, as: Cast.self) { product = cast.operands[0] }
    if let (sum, _) = graph.producer(of: product, as: Add.self) {
      let parts = sum.operands
      guard let place = parts.firstIndex(where: { finder.weight($0)?.shape.count == 1 }) else { return nil }
      bias = finder.weight(parts[place])?.name
      product = parts[1 - place]
    }
    while let (cast, _) = graph.producer(of: product, as: Cast.self) { product = cast.operands[0] }
    guard let (node, _) = graph.producer(of: product, as: Multiply.self),
      let weight = node.operands.compactMap({ finder.weight($0) }).first, weight.shape.count == 1,
      weight.name.string.hasSuffix(".weight"), graph.users(of: weightValue(node)).count == 1
    else { return nil }
    return Subgraph(
      kind: .normLinear, source: String(weight.name.string.dropLast(7)), sourceWeight: weight.name, sourceBias: bias,
      readers: readers, value: value, heads: nil)
  }

  private func weightValue(_ node: Node) -> ValueID {
    node.operands.first { finder.weight($0) != nil } ?? node.operands[0]
  }

  private func linear(before site: LinearSite, _ uses: [TensorName: Int]) -> Subgraph? {
    func make(_ kind: Subgraph.Kind, _ source: LinearSite, _ heads: Subgraph.Heads? = nil) -> Subgraph? {
      guard uses[source.layer.weight] == 1 else { return nil }
      return Subgraph(
        kind: kind, source: source.layer.module, sourceWeight: source.layer.weight, sourceBias: source.bias,
        readers: [site.layer], value: site.input, heads: heads)
    }
    if let source = byOutput[site.input] { return make(.linearLinear, source) }
    if let (product, _) = graph.producer(of: site.input, as: Multiply.self) {
      // One factor is a linear layer as it is, the other what an activation made of another.
      let sources = product.operands.compactMap { plainOutput($0) }
      if sources.count == 1, let output = sources[0].output, readsOnce(output) { return make(.upDown, sources[0]) }
    }
    guard let (values, heads) = attention(before: site.input) else { return nil }
    return make(.outputValue, values, heads)
  }

  /// The linear layer whose output a value is, but for its shape.
  private func plainOutput(_ value: ValueID) -> LinearSite? {
    var value = value
    while byOutput[value] == nil, let (node, _) = graph.producer(of: value, as: Reshape.self) {
      value = node.operands[0]
    }
    return byOutput[value]
  }

  private func readsOnce(_ value: ValueID) -> Bool { graph.users(of: value).count == 1 && !graph.isRoot(value) }

  /// The projection to values, when a value is what attention made of it: weights · values, heads side by side.
  private func attention(before value: ValueID) -> (LinearSite, Subgraph.Heads)? {
    guard let (flat, _) = graph.producer(of: value, as: Reshape.self),
      let (turned, _) = graph.producer(of: flat.operands[0], as: Transpose.self),
      let (product, _) = graph.producer(of: turned.operands[0], as: MatMul.self),
      case .known(let query)? = graph.type(of: product.results[0]).dims.dropFirst().first,
      case .known(let depth)? = graph.type(of: product.results[0]).dims.last
    else { return nil }
    var (value, keyDepth) = (product.operands[1], 0)
    while byOutput[value] == nil {
      guard let id = graph.producer(of: value) else { return nil }
      switch graph[id].op {
      case is Reshape, is Expand, is Unsqueeze, is Transpose: value = graph[id].operands[0]
      // Past values come first.
      case is Concat where graph[id].operands.count == 2: value = graph[id].operands[1]
      // Keys that the same layer makes come before the values of a head.
      case is Split where graph[id].results.count == 2 && graph[id].results[1] == value:
        guard keyDepth == 0, case .known(let keys)? = graph.type(of: graph[id].results[0]).dims.last else { return nil }
        (value, keyDepth) = (graph[id].operands[0], keys)
      default: return nil
      }
    }
    let all = depth + keyDepth
    guard let site = byOutput[value], case .known(let width)? = graph.type(of: value).dims.last, width % all == 0,
      query % (width / all) == 0
    else { return nil }
    return (site, Subgraph.Heads(query: query, keyValue: width / all, depth: depth, keyDepth: keyDepth))
  }

  /// Up and down of each expert.
  private func experts(_ readers: [LinearSite], _ uses: [TensorName: Int]) -> [Subgraph] {
    let parts = readers.filter { $0.expertPart != nil }
    return stride(from: 0, to: parts.count - parts.count % 3, by: 3).compactMap { start in
      let (up, down) = (parts[start + 1], parts[start + 2])
      guard up.expertPart == 1, down.expertPart == 2, uses[up.layer.weight] == 1, uses[down.layer.weight] == 1 else {
        return nil
      }
      return Subgraph(
        kind: .upDown, source: up.layer.module, sourceWeight: up.layer.weight, sourceBias: nil, readers: [down.layer],
        value: up.input, heads: nil)
    }
  }
}
