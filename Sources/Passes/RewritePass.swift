import IR
import Tensors

/// A pass that looks at every node of one kind and may replace it.
protocol RewritePass: GraphPass {
  /// The operators at which a rewrite starts.
  var roots: [any Op.Type] { get }
  /// Replaces what ends in node `id`; true when it did. Called for each node that still stands, in order.
  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool
}

extension RewritePass {
  public func run(on graph: inout Graph, report: inout PassReport) -> Bool {
    let roots = Set(roots.map { ObjectIdentifier($0) })
    var changed = false
    for id in graph.nodeIDs {
      guard let kind = graph.kind(of: id), roots.contains(kind) else { continue }
      if rewrite(&graph, id, &report) { changed = true }
    }
    return changed
  }
}

/// A pass that replaces the first matching pattern at a node by one operator.
protocol FusionPass: RewritePass {
  /// The name of the operator it makes, for the report.
  var result: String { get }
  /// The patterns, the most complete first.
  var patterns: [Pattern] { get }
  /// The operator and its operands for a match, or the reason why there is none.
  func fuse(_ match: Match, in graph: inout Graph, at value: ValueID) -> Fusion
}

/// What became of a match.
enum Fusion {
  case replaced(any Op, [ValueID])
  case declined(String)
  /// Not what the pass looks for after all.
  case none
}

extension FusionPass {
  func rewrite(_ graph: inout Graph, _ id: NodeID, _ report: inout PassReport) -> Bool {
    let value = graph[id].results[0]
    for pattern in patterns {
      guard let match = graph.match(pattern, value) else { continue }
      guard graph.isPrivate(match) else {
        report.declined(result, by: name, because: "an intermediate value is used elsewhere")
        continue
      }
      switch fuse(match, in: &graph, at: value) {
      case .replaced(let op, let operands):
        if graph.replace(id, with: op, operands) {
          report.made(result, by: name)
          return true
        }
        report.declined(result, by: name, because: "the fused operator does not take these types")
      case .declined(let reason): report.declined(result, by: name, because: reason)
      case .none: break
      }
    }
    return false
  }
}

extension Graph {
  /// The value in `dtype`, through a cast if needed. For a cast from `dtype` its operand is taken when `exact` allows.
  mutating func casting(_ value: ValueID, to dtype: DType) -> ValueID {
    if type(of: value).dtype == dtype { return value }
    if let (node, _) = producer(of: value, as: Cast.self), type(of: node.operands[0]).dtype == dtype {
      return node.operands[0]
    }
    return insert(Cast(to: dtype), [value])
  }

  /// Appends a node that is known to be valid.
  mutating func insert(_ op: any Op, _ operands: [ValueID], name: String = "") -> ValueID {
    do { return try add(op, operands, name: name)[0] } catch { preconditionFailure("\(error)") }
  }

  /// The value below widening casts of a parameter: the weight as it is stored.
  func stored(_ value: ValueID) -> ValueID {
    guard let (node, op) = producer(of: value, as: Cast.self), op.to.isFloat, type(of: node.operands[0]).dtype.isFloat,
      op.to.bits >= type(of: node.operands[0]).dtype.bits, isParameter(node.operands[0])
    else { return value }
    return stored(node.operands[0])
  }
}
