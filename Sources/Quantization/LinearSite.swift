public import IR
public import Tensors

/// Where a graph uses a linear layer: `x · Wᵀ`, and perhaps a bias.
public struct LinearSite: Sendable {
  public let layer: LinearLayer
  /// The product, or the operator that has the matrix among those of its experts.
  public let node: NodeID
  public let input: ValueID
  /// With the bias; nil for a matrix of an expert, whose output stays inside its operator.
  public let output: ValueID?
  public let bias: TensorName?
  /// Of an expert's matrix, which of gate, up and down it is, and the expert's number.
  public let expertPart: Int?
  public let expert: Int?
}

extension LinearFinder {
  /// Every use of a linear layer, in the graph's order.
  public func sites() -> [LinearSite] {
    var sites: [LinearSite] = []
    for id in graph.nodeIDs {
      let node = graph[id]
      switch node.op {
      case is MatMul:
        guard let (turned, _) = graph.producer(of: node.operands[1], as: Transpose.self),
          let layer = layer(of: turned.operands[0], { role(turned.operands[0], node.results[0]) })
        else { continue }
        let (output, bias) = withBias(node.results[0])
        sites.append(
          LinearSite(
            layer: layer, node: id, input: node.operands[0], output: output, bias: bias, expertPart: nil,
            expert: nil))
      case is MixtureOfExperts:
        for (k, operand) in node.operands.dropFirst(3).enumerated() {
          guard let layer = layer(of: operand, { .expert }) else { continue }
          sites.append(
            LinearSite(
              layer: layer, node: id, input: node.operands[0], output: nil, bias: nil, expertPart: k % 3,
              expert: k / 3))
        }
      default: break
      }
    }
    return sites
  }

  /// The layers of graphs by the values that they make.
  static func byOutput(_ sites: [LinearSite]) -> [ValueID: LinearSite] {
    Dictionary(sites.compactMap { site in site.output.map { ($0, site) } }, uniquingKeysWith: { first, _ in first })
  }

  /// The sum with a bias, if one follows at once.
  private func withBias(_ product: ValueID) -> (output: ValueID, bias: TensorName?) {
    guard let user = graph.users(of: product).first, graph.hasOneUse(product), graph[user].op is Add else {
      return (product, nil)
    }
    let node = graph[user]
    let other = node.operands[0] == product ? node.operands[1] : node.operands[0]
    guard let weight = weight(other), weight.shape.count == 1 else { return (product, nil) }
    return (node.results[0], weight.name)
  }
}
