public import Tensors

/// What each tensor of an output is to a source, and what of the source is in no output.
public struct Verification: Sendable {
  /// A tensor of the output.
  public struct Item: Sendable {
    public let name: TensorName
    /// Element type or encoding, and shape.
    public let type: String
    public let relation: Relation
  }

  /// In the order of the output.
  public let items: [Item]
  /// Tensors of the source of which the output has nothing, or not all; in the order of the source.
  public let missing: [(name: TensorName, isPartial: Bool)]

  public var unexplained: [Item] { items.filter { $0.relation.kind == .unexplained } }

  /// Reads both as often as it takes, at least once, in little memory. `progress` gets bytes that were read, and an
  /// estimate of all.
  public init(
    _ output: [TensorStore.Entry], source: [TensorStore.Entry], threads: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    let total = (output + source).reduce(0) { $0 + $1.byteCount }
    let scan = TensorScan(threads: threads, total: total) { done, total in progress(min(done, total), total) }
    var finder = RelationFinder(output: output, source: source, scan: scan)
    try finder.findNamesakes()
    try finder.findContent()
    try finder.findQuantized()
    let unused = finder.unused()
    let missing = try finder.missing(unused)
    finder.checkPlaces(unused: unused.map(\.source))
    items = output.indices.map { index in
      let entry = output[index]
      let relation =
        finder.findings[index]?.relation
        ?? .unexplained(finder.notes[index] ?? "nothing in the source has these elements")
      return Item(
        name: entry.name, type: "\(entry.storedTypeName)[\(entry.shape.map(String.init).joined(separator: ","))]",
        relation: relation)
    }
    self.missing = missing.map { (source[$0.source].name, $0.isPartial) }
  }
}
