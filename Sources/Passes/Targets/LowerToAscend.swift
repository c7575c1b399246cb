import IR
import Tensors

/// Fused operators become the target's own, where it has them for the type at hand.
public struct LowerToAscend: RewritePass {
  public let name = "lower-to-ascend"
  let roots: [any Op.Type] = [
    RMSNorm.self, LayerNorm.self, Gelu.self, SwiGLU.self, RotaryEmbedding.self, Attention.self,
  ]
  private let target: Target

  public init(_ target: Target) { self.target = target }

  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let node = graph[id]
    let type = graph.type(of: node.operands[0])
    /// The first of these operators that the target has for the type; else the reason is noted.
    func available(_ ops: any Op.Type...) -> (any Op.Type)? {
      for op in ops where target.types(of: op).contains(type.dtype) { return op }
      for op in ops {
        let types = target.types(of: op).map(\.rawValue).sorted()
        report.declined(
          op.schema.name, by: name,
          because: types.isEmpty
            ? "\(target.name) has no such operator"
            : "\(target.name) has it for \(types.joined(separator: ", ")), not \(type.dtype)")
      }
      return nil
    }
    switch node.op {
    case let op as RMSNorm:
      if lowerSum(&graph, node, op, &report) { return true }
      guard available(Ascend.RmsNorm.self) != nil else { return false }
      return replaceFirst(&graph, id, Ascend.RmsNorm(epsilon: op.epsilon), parameters(&graph, node), &report)
    case let op as LayerNorm:
      guard available(Ascend.LayerNormV4.self) != nil else { return false }
      return replaceFirst(&graph, id, Ascend.LayerNormV4(epsilon: op.epsilon), parameters(&graph, node), &report)
    case let op as Gelu:
      guard available(Ascend.GeluV2.self) != nil else { return false }
      return replaceFirst(&graph, id, Ascend.GeluV2(approximate: op.approximation), node.operands, &report)
    case is SwiGLU:
      guard available(Ascend.SwiGlu.self) != nil else { return false }
      return replaceFirst(&graph, id, Ascend.SwiGlu(dim: -1), node.operands, &report)
    case let op as RotaryEmbedding:
      guard available(Ascend.RotaryMul.self) != nil else { return false }
      return lowerRotary(&graph, id, node, op, &report)
    case let op as Attention:
      guard let chosen = available(Ascend.FlashAttentionScore.self, Ascend.PromptFlashAttention.self) else {
        return false
      }
      return lowerAttention(&graph, id, node, op, chosen, &report)
    default: return false
    }
  }

  /// Puts an operator whose first result is the node's in the node's place.
  private func replaceFirst(
    _ graph: inout Graph, _ id: NodeID, _ op: any Op, _ operands: [ValueID], _ report: inout PassReport
  ) -> Bool {
    let node = graph[id]
    let opName = Swift.type(of: op).schema.name
    guard let results = try? graph.add(op, operands, name: node.name),
      graph.type(of: results[0]) == graph.type(of: node.results[0])
    else {
      report.declined(opName, by: name, because: "it does not take these operands")
      return false
    }
    graph.replaceUses(of: node.results[0], with: results[0])
    report.made(opName, by: name)
    return true
  }

  /// The operands with weights in the type of the first, as the target's norms want them.
  private func parameters(_ graph: inout Graph, _ node: Node) -> [ValueID] {
    let dtype = graph.type(of: node.operands[0]).dtype
    return [node.operands[0]] + node.operands.dropFirst().map { graph.casting($0, to: dtype) }
  }

  /// `rms_norm(a + b)` becomes `AddRmsNorm`, which gives the sum too.
  private func lowerSum(_ graph: inout Graph, _ node: Node, _ op: RMSNorm, _ report: inout PassReport) -> Bool {
    let sum = node.operands[0]
    let opName = Ascend.AddRmsNorm.name
    guard target.types(of: Ascend.AddRmsNorm.self).contains(graph.type(of: sum).dtype),
      let (add, _) = graph.producer(of: sum, as: Add.self),
      add.operands.allSatisfy({ graph.type(of: $0) == graph.type(of: sum) })
    else { return false }
    let gamma = graph.casting(node.operands[1], to: graph.type(of: sum).dtype)
    guard let results = try? graph.add(Ascend.AddRmsNorm(epsilon: op.epsilon), add.operands + [gamma], name: node.name)
    else {
      report.declined(opName, by: name, because: "it does not take these operands")
      return false
    }
    graph.replaceUses(of: node.results[0], with: results[0])
    graph.replaceUses(of: sum, with: results[2])
    report.made(opName, by: name)
    return true
  }

  /// `RotaryMul` turns whole heads; a partial rotation is cut out and put back.
  private func lowerRotary(
    _ graph: inout Graph, _ id: NodeID, _ node: Node, _ op: RotaryEmbedding, _ report: inout PassReport
  ) -> Bool {
    let (x, cosines) = (node.operands[0], node.operands[1])
    let last = graph.type(of: x).rank - 1
    guard let width = graph.type(of: x).dims[last].value, let size = graph.type(of: cosines).dims[last].value else {
      return false
    }
    let mul = Ascend.RotaryMul(rotaryMode: op.interleaved ? .interleave : .half)
    if size == width { return replaceFirst(&graph, id, mul, node.operands, &report) }
    let head = graph.insert(Slice(axis: last, start: 0, end: size), [x])
    guard let turned = try? graph.add(mul, [head] + node.operands.dropFirst(), name: node.name)[0] else {
      report.declined(Ascend.RotaryMul.name, by: name, because: "it does not take these operands")
      return false
    }
    let tail = graph.insert(Slice(axis: last, start: size), [x])
    guard graph.replace(id, with: Concat(axis: last), [turned, tail]) else { return false }
    report.made(Ascend.RotaryMul.name, by: name)
    return true
  }

  /// The target's mask is true where attention is forbidden.
  private func lowerAttention(
    _ graph: inout Graph, _ id: NodeID, _ node: Node, _ op: Attention, _ chosen: any Op.Type,
    _ report: inout PassReport
  ) -> Bool {
    var operands = Array(node.operands.prefix(3))
    guard !op.causal else {
      report.declined(chosen.schema.name, by: name, because: "causality is not in the mask")
      return false
    }
    if node.operands.count > 3 {
      guard graph.type(of: node.operands[3]).dtype == .bool else {
        report.declined(chosen.schema.name, by: name, because: "the mask is not boolean")
        return false
      }
      operands.append(graph.insert(Not(), [node.operands[3]]))
    }
    guard let heads = graph.type(of: operands[0]).dims[1].value, let groups = graph.type(of: operands[1]).dims[1].value
    else { return false }
    let lowered: any Op =
      chosen == Ascend.FlashAttentionScore.self
      ? Ascend.FlashAttentionScore(headNum: heads, scaleValue: op.scale)
      : Ascend.PromptFlashAttention(numHeads: heads, numKeyValueHeads: groups, scaleValue: op.scale)
    return replaceFirst(&graph, id, lowered, operands, &report)
  }
}
