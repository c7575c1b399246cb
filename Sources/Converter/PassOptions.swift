public import IR
public import Passes
internal import Synchronization
internal import Tensors

/// Which passes run over a graph, and where it is written in between.
public struct PassOptions: Sendable {
  /// Whether fused operators are looked for; otherwise the graph is only cleaned up.
  public var fuse: Bool
  /// The chip whose operators are used; nil for the bundled runtime.
  public var target: Target?
  /// How products with quantized weights are carried out, as the target does unless said otherwise; nil widens the
  /// weights.
  public var arithmetic: QuantizedArithmetic?
  /// The name of the pass after which to stop.
  public var stopAfter: String?
  /// A folder that gets the text of the graph before the first pass and after each.
  public var dumpFolder: String?
  /// Whether an older dump may be replaced.
  public var overwrite: Bool

  public init(
    fuse: Bool = true, target: Target? = nil, stopAfter: String? = nil, dumpFolder: String? = nil,
    overwrite: Bool = false
  ) {
    self.fuse = fuse
    self.target = target
    arithmetic = target.map(\.arithmetic) ?? .a2
    self.stopAfter = stopAfter
    self.dumpFolder = dumpFolder
    self.overwrite = overwrite
  }

  public var passes: [any GraphPass] { defaultPasses(fuse: fuse, target: target, arithmetic: arithmetic) }

  /// Runs the passes. What was dumped up to an error is written all the same.
  @discardableResult
  public func run(on graph: inout Graph) throws -> PassReport {
    var runner = PassRunner(passes)
    runner.stopAfter = stopAfter
    guard let dumpFolder else { return try runner.run(on: &graph) }
    let dump = GraphDump()
    runner.observe = { index, pass, graph in dump.add(index, pass, graph) }
    let result = Result { try runner.run(on: &graph) }
    try dump.write(to: dumpFolder, overwrite: overwrite)
    return try result.get()
  }
}

/// Snapshots of a graph between passes.
private final class GraphDump: Sendable {
  private let snapshots = Mutex<[(name: String, graph: Graph)]>([])

  func add(_ index: Int, _ pass: String, _ graph: Graph) {
    let name = (index < 10 ? "0" : "") + "\(index)-\(pass).txt"
    snapshots.withLock { $0.append((name, graph)) }
  }

  func write(to path: String, overwrite: Bool) throws {
    let graphs = snapshots.withLock { $0 }
    guard !graphs.isEmpty else { return }
    try AtomicFolder.write(to: path, overwrite: overwrite, mayReplace: GraphDump.isDump) { folder in
      for (name, graph) in graphs { try folder.write(name) { try $0.write(graph.text) } }
    }
  }

  /// Whether a folder holds nothing but `00-start.txt` and its like.
  private static func isDump(_ path: String) throws -> Bool {
    let names = try InputFolder(path: path).names()
    return names.contains("00-start.txt")
      && names.allSatisfy { $0.hasSuffix(".txt") && $0.utf8.prefix(2).allSatisfy { (48...57).contains($0) } }
  }
}
