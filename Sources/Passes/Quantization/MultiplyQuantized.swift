public import IR
import Tensors

/// `x · Wᵀ` with a quantized weight, and experts of such, become the operators of the weight's scheme.
public struct MultiplyQuantized: RewritePass {
  public let name = "multiply-quantized"
  let roots: [any Op.Type] = [MatMul.self, MixtureOfExperts.self]
  private let arithmetic: QuantizedArithmetic

  public init(_ arithmetic: QuantizedArithmetic = .a2) { self.arithmetic = arithmetic }

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    return node.op is MatMul ? product(&graph, node, &report) : experts(&graph, id, node, &report)
  }

  private func product(_ graph: inout Graph, _ node: Node, _ report: inout PassReport) -> Bool {
    guard let (transpose, _) = graph.producer(of: graph.uncast(node.operands[1]), as: Transpose.self),
      let (weight, op) = graph.producer(of: graph.uncast(transpose.operands[0]), as: QuantizedWeight.self),
      !graph.isParameter(node.operands[0])
    else { return false }
    let type = graph.type(of: node.operands[0])
    guard Ascend.computes(type.dtype), op.scheme != .w8a8Mix || type.rank > 1 else {
      report.declined(op.scheme.rawValue, by: name, because: "the product's types are others")
      return false
    }
    // A static scheme has its bias in `quant_bias`, so the sum goes.
    var (old, bias) = (node.results[0], ValueID?.none)
    if op.scheme.isStatic, graph.hasOneUse(old), let user = graph.users(of: old).first, graph[user].op is Add,
      let other = graph[user].operands.first(where: { $0 != old }), graph.isParameter(other),
      graph.type(of: other).rank == 1
    {
      bias = other
      old = graph[user].results[0]
    }
    do {
      let y = try op.scheme.product(
        node.operands[0], type, weight.operands, bias: op.scheme == .w8a8Mix ? bias : nil, arithmetic: arithmetic,
        checkpoint: op.checkpoint
      ) { try graph.add($0, $1, name: node.name) }
      graph.replaceUses(of: old, with: y)
      report.made(op.scheme.rawValue, by: name)
      return true
    } catch {
      report.declined(op.scheme.rawValue, by: name, because: "\(error)")
      return false
    }
  }

  private func experts(_ graph: inout Graph, _ id: NodeID, _ node: Node, _ report: inout PassReport) -> Bool {
    guard let experts = node.op as? MixtureOfExperts else { return false }
    let weights = node.operands.dropFirst(3).map { graph.producer(of: graph.uncast($0), as: QuantizedWeight.self) }
    guard weights.contains(where: { $0 != nil }) else { return false }
    let known = weights.compactMap { $0 }
    let (inner, outer) = (known.first?.op.scheme ?? .w8a8, known.last?.op.scheme ?? .w8a8)
    let result = "experts of \(inner.rawValue) and \(outer.rawValue)"
    guard known.count == weights.count,
      known.enumerated().allSatisfy({ $0.element.op.scheme == ($0.offset % 3 == 2 ? outer : inner) })
    else {
      report.declined(result, by: name, because: "experts are stored in different ways")
      return false
    }
    let op = QuantizedMixtureOfExperts(
      activation: experts.activation, inner: inner, outer: outer, arithmetic: arithmetic)
    guard graph.replace(id, with: op, Array(node.operands.prefix(3)) + known.flatMap(\.node.operands)) else {
      report.declined(result, by: name, because: "the operator does not take these types")
      return false
    }
    report.made(result, by: name)
    return true
  }
}

extension Graph {
  /// The value below casts.
  fileprivate func uncast(_ value: ValueID) -> ValueID {
    var value = value
    while let (node, _) = producer(of: value, as: Cast.self) { value = node.operands[0] }
    return value
  }
}
