import IR
import Tensors

/// `x · Wᵀ` with a weight becomes `linear`, and takes in the sum with a bias vector that follows.
public struct FuseLinear: RewritePass {
  public let name = "fuse-linear"
  let roots: [any Op.Type] = [MatMul.self, Add.self]
  public init() {}

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    return node.op is MatMul ? fuseProduct(&graph, id, node, &report) : fuseBias(&graph, id, node, &report)
  }

  private func fuseProduct(_ graph: inout Graph, _ id: NodeID, _ node: Node, _ report: inout PassReport) -> Bool {
    let (x, matrix) = (node.operands[0], node.operands[1])
    guard graph.isParameter(matrix), graph.type(of: matrix).rank == 2, !graph.isParameter(x) else { return false }
    var weight = graph.stored(matrix)
    if let (transpose, _) = graph.producer(of: weight, as: Transpose.self) {
      weight = graph.stored(transpose.operands[0])
    } else {
      weight = graph.insert(Transpose(permutation: [1, 0]), [weight])
    }
    guard graph.replace(id, with: Linear(), [x, weight]) else { return false }
    report.made("linear", by: name)
    return true
  }

  private func fuseBias(_ graph: inout Graph, _ id: NodeID, _ node: Node, _ report: inout PassReport) -> Bool {
    for (product, bias) in [(node.operands[0], node.operands[1]), (node.operands[1], node.operands[0])] {
      guard let (linear, op) = graph.producer(of: product, as: Linear.self), linear.operands.count == 2,
        op.activation == .none,
        graph.isParameter(bias), graph.type(of: bias).rank == 1
      else { continue }
      guard graph.hasOneUse(product) else {
        report.declined("linear with bias", by: name, because: "the product is used elsewhere")
        continue
      }
      guard graph.replace(id, with: Linear(), linear.operands + [graph.stored(bias)]) else { continue }
      report.made("linear with bias", by: name)
      return true
    }
    return false
  }
}

/// An activation function of a `linear`'s result moves into it.
public struct FuseActivation: RewritePass {
  public let name = "fuse-activation"
  let roots: [any Op.Type] = [Gelu.self, Relu.self, Silu.self, Tanh.self]
  public init() {}

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    let activation: Activation =
      switch node.op {
      case let gelu as Gelu: gelu.approximation == .tanh ? .geluTanh : .gelu
      case is Relu: .relu
      case is Silu: .silu
      default: .tanh
      }
    guard let (linear, op) = graph.producer(of: node.operands[0], as: Linear.self), op.activation == .none else {
      return false
    }
    guard graph.hasOneUse(node.operands[0]) else {
      report.declined("linear with activation", by: name, because: "its result is used elsewhere")
      return false
    }
    guard graph.replace(id, with: Linear(activation: activation), linear.operands) else { return false }
    report.made("linear with activation", by: name)
    return true
  }
}
