public import IR
import Tensors

/// A rewriting of a graph that keeps its meaning.
public protocol GraphPass: Sendable {
  /// A verb phrase with hyphens, `fuse-rms-norm`.
  var name: String { get }
  /// Rewrites the graph; true when anything changed. Notes in `report` what it did and what it declined, and why.
  func run(on graph: inout Graph, report: inout PassReport) throws -> Bool
}

/// What passes did to a graph.
public struct PassReport: Sendable {
  /// Something a pass rewrote, or saw and left.
  public struct Entry: Sendable, Hashable {
    public let pass: String
    /// The operator that was made or would have been.
    public let result: String
    /// Why it was not made; nil when it was.
    public let reason: String?
  }

  /// A pass that ran, with its time and the number of nodes after it.
  public struct Step: Sendable {
    public let pass: String
    public let changed: Bool
    public let nodeCount: Int
    public let seconds: Double
  }

  public internal(set) var counts: [Entry: Int] = [:]
  public internal(set) var steps: [Step] = []

  public init() {}

  /// Notes that `pass` made an operator.
  public mutating func made(_ result: String, by pass: String) {
    counts[Entry(pass: pass, result: result, reason: nil), default: 0] += 1
  }

  /// Notes that `pass` could have made an operator but did not.
  public mutating func declined(_ result: String, by pass: String, because reason: String) {
    counts[Entry(pass: pass, result: result, reason: reason), default: 0] += 1
  }

  /// Adds what passes did to another graph.
  public static func += (a: inout PassReport, b: PassReport) {
    a.counts.merge(b.counts, uniquingKeysWith: +)
    a.steps += b.steps
  }

  /// How often each operator was made, by name.
  public var made: [(result: String, count: Int)] {
    var sums: [String: Int] = [:]
    for (entry, count) in counts where entry.reason == nil { sums[entry.result, default: 0] += count }
    return sums.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// What was seen and left, with the reason.
  public var declined: [(result: String, reason: String, count: Int)] {
    counts.compactMap { entry, count in entry.reason.map { (entry.result, $0, count) } }
      .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
  }
}

/// Runs passes in order, cleans up and verifies after each.
public struct PassRunner: Sendable {
  public let passes: [any GraphPass]
  /// Stop after the pass of this name.
  public var stopAfter: String?
  /// Called with the graph before the first pass and after each, for dumping.
  public var observe: (@Sendable (_ index: Int, _ pass: String, _ graph: Graph) throws -> Void)?

  public init(_ passes: [any GraphPass]) { self.passes = passes }

  /// Throws ``ErrorCode/usage`` when `stopAfter` names no pass, ``ErrorCode/graph`` when a pass breaks the graph.
  public func run(on graph: inout Graph) throws -> PassReport {
    var report = PassReport()
    if let stopAfter, !passes.contains(where: { $0.name == stopAfter }) {
      let names = passes.map(\.name).joined(separator: ", ")
      throw BessemerError(.usage, "no pass \(quoted(stopAfter)); the pipeline is \(names)")
    }
    try observe?(0, "start", graph)
    for (index, pass) in passes.enumerated() {
      let clock = ContinuousClock()
      let start = clock.now
      let made = graph.madeNodeCount
      let changed = try pass.run(on: &graph, report: &report)
      if changed {
        graph.eraseDeadNodes()
        guard graph.sortTopologically() else { throw BessemerError(.graph, "\(pass.name) made a cycle") }
        do { try graph.verify(madeSince: made) } catch let error as BessemerError {
          throw BessemerError(error.code, "after \(pass.name): \(error.message)")
        }
      }
      let (seconds, attoseconds) = (clock.now - start).components
      report.steps.append(
        .init(
          pass: pass.name, changed: changed, nodeCount: graph.nodeCount,
          seconds: Double(seconds) + Double(attoseconds) * 1e-18))
      try observe?(index + 1, pass.name, graph)
      if pass.name == stopAfter { break }
    }
    return report
  }
}
