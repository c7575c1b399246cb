public import IR

/// Removes what no output and no state depends on.
public struct EraseDeadCode: GraphPass {
  public let name = "erase-dead-code"
  public init() {}
  public func run(on graph: inout Graph, report _: inout PassReport) -> Bool { graph.eraseDeadNodes() }
}
