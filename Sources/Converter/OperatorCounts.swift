public import IR

/// How many nodes of each operator a graph has.
public struct OperatorCounts: Sendable, Equatable {
  public private(set) var counts: [String: Int] = [:]

  init() {}

  public init(_ graph: Graph) {
    for id in graph.nodeIDs { counts[Swift.type(of: graph[id].op).schema.name, default: 0] += 1 }
  }

  public var total: Int { counts.values.reduce(0, +) }

  public static func += (a: inout OperatorCounts, b: OperatorCounts) { a.counts.merge(b.counts, uniquingKeysWith: +) }

  /// Operators with their counts, by name.
  public var sorted: [(name: String, count: Int)] {
    counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// The operators of either side with both counts, by name.
  public static func compare(_ before: OperatorCounts, _ after: OperatorCounts) -> [(
    name: String, before: Int, after: Int
  )] {
    Set(before.counts.keys).union(after.counts.keys).sorted()
      .map { ($0, before.counts[$0] ?? 0, after.counts[$0] ?? 0) }
  }
}
