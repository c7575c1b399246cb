import IR
import Tensors

/// Gives each stored weight a name of its own: that of the weight it is made from, or one joined from several.
struct WeightNames {
  private var taken: Set<TensorName> = []
  /// The number that the next weight of this name gets.
  private var next: [TensorName: Int] = [:]
  /// Weights that a joined name is made from; the others do not count.
  private static let maximumLeafCount = 64
  private static let maximumByteCount = 512

  /// The name itself, for weights that are stored as they are.
  mutating func keep(_ name: TensorName) -> TensorName { unique(name) }

  /// A name for a value that is computed from weights.
  mutating func name(_ value: ValueID, in graph: Graph) -> TensorName { unique(WeightNames.candidate(value, graph)) }

  private mutating func unique(_ candidate: TensorName) -> TensorName {
    if taken.insert(candidate).inserted { return candidate }
    var number = next[candidate] ?? 2
    var name = TensorName(candidate.string + ".\(number)")
    while !taken.insert(name).inserted {
      number += 1
      name = TensorName(candidate.string + ".\(number)")
    }
    next[candidate] = number + 1
    return name
  }

  private static func candidate(_ value: ValueID, _ graph: Graph) -> TensorName {
    var value = value
    while let id = graph.producer(of: value) {
      let node = graph[id]
      switch node.op {
      case let op as Weight: return op.name
      case is Cast, is Transpose, is Reshape, is Squeeze, is Unsqueeze: value = node.operands[0]
      default:
        let names = leaves(value, graph)
        guard names.count > 1 else {
          return TensorName((names.first ?? "weight") + "." + Swift.type(of: node.op).schema.name)
        }
        return TensorName(joined(names))
      }
    }
    return "weight"
  }

  /// The names of the weights that a value is made from, in the order of operands, each once.
  private static func leaves(_ value: ValueID, _ graph: Graph) -> [String] {
    var names: [String] = []
    var seen: Set<ValueID> = []
    var pending = [value]
    while let next = pending.popLast(), names.count < maximumLeafCount {
      guard seen.insert(next).inserted, let id = graph.producer(of: next) else { continue }
      if let op = graph[id].op as? Weight {
        if !names.contains(where: { TensorName($0) == op.name }) { names.append(op.name.string) }
      } else {
        pending += graph[id].operands.reversed()
      }
    }
    return names
  }

  /// One name for several: `a.q_proj.weight`, `a.k_proj.weight`, `a.v_proj.weight` give `a.qkv.weight`.
  static func joined(_ names: [String]) -> String {
    let paths = names.map { $0.split(separator: ".", omittingEmptySubsequences: false).map(String.init) }
    let shortest = paths.map(\.count).min() ?? 0
    let head = (0..<shortest).prefix { k in paths.allSatisfy { $0[k] == paths[0][k] } }.count
    let tail = (0..<(shortest - head)).prefix { k in
      paths.allSatisfy { $0[$0.count - 1 - k] == paths[0][paths[0].count - 1 - k] }
    }.count
    var parts = paths.map { $0[head..<($0.count - tail)].joined(separator: "_") }
    // `q_proj`, `k_proj`: what all end with says nothing.
    let words = parts.map { $0.split(separator: "_") }
    if words.allSatisfy({ $0.count > 1 && $0.last == words[0].last }) {
      parts = words.map { $0.dropLast().joined(separator: "_") }
    }
    var middle = parts.joined(separator: parts.allSatisfy { $0.count == 1 } ? "" : "_")
    if middle.utf8.count > maximumByteCount { middle = "\(parts[0])_and_\(parts.count - 1)_more" }
    return (Array(paths[0][..<head]) + [middle] + paths[0][(paths[0].count - tail)...]).joined(separator: ".")
  }
}
