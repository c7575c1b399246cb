public import Tensors

/// What two checkpoints have in common, and what not.
public struct CheckpointDiff: Sendable {
  /// How tensors whose names differ are paired.
  public enum Match: String, Sendable, CaseIterable {
    /// Not at all.
    case names
    /// By their elements.
    case content
  }

  /// A tensor of one of the two.
  public struct Tensor: Sendable {
    public let name: TensorName
    /// The element type or encoding that its file holds.
    public let storedType: String
    public let shape: [Int]

    init(_ entry: TensorStore.Entry) { (name, storedType, shape) = (entry.name, entry.storedTypeName, entry.shape) }
  }

  /// A tensor of both, of one name.
  public struct Change: Sendable {
    public let old: Tensor
    public let new: Tensor
    /// Nil when the two have different numbers of elements.
    public let difference: TensorDifference?
  }

  /// A tensor of the second that is made of tensors of the first.
  public struct Rename: Sendable {
    public let new: Tensor
    public let relation: Relation
    public let recipe: Recipe?
    /// Other tensors of the first that hold the same: which one was meant cannot be told.
    public let equals: [TensorName]
    /// How far the elements are off, where they are only similar.
    public let difference: TensorDifference?
  }

  public private(set) var equalCount = 0
  public private(set) var removed: [Tensor] = []
  public private(set) var added: [Tensor] = []
  public private(set) var changed: [Change] = []
  public private(set) var renamed: [Rename] = []
  /// Names of the first that a map to the second can leave as they are.
  public private(set) var kept: Set<TensorName> = []

  public var isEmpty: Bool { removed.isEmpty && added.isEmpty && changed.isEmpty && renamed.isEmpty }

  /// Reads what differs, and what must be read to know. `progress` gets bytes that were read, and an estimate of all.
  public init(
    _ old: TensorStore, _ new: TensorStore, match: Match = .names, threads: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    let total = old.byteCount + new.byteCount
    let scan = TensorScan(threads: threads, total: total) { done, total in progress(min(done, total), total) }
    let pairs = new.entries.compactMap { entry in old[entry.name].map { ($0, entry) } }
    let results = Slots<Change>(count: pairs.count)
    try scan.forEach(pairs.count) { index in
      let (a, b) = pairs[index]
      results[index] = try CheckpointDiff.change(a, b)
      scan.note(a.byteCount + b.byteCount)
    }
    var changes = pairs.indices.compactMap { results[$0] }
    equalCount = pairs.count - changes.count
    var lost = old.entries.filter { new[$0.name] == nil }
    var found = new.entries.filter { old[$0.name] == nil }
    kept = Set(pairs.map(\.0.name))
    if match == .content {
      // Tensors of one name that differ may have changed places.
      let moved = changes.filter { $0.difference.map { $0.changedCount > 0 } ?? true }
      let pool = (lost + moved.compactMap { old[$0.old.name] }, found + moved.compactMap { new[$0.new.name] })
      var finder = RelationFinder(output: pool.1, source: pool.0, scan: scan)
      try finder.findContent()
      try pair(&finder)
      let gone = Set(renamed.map(\.new.name))
      let used = Set(renamed.flatMap(\.relation.sources))
      changes.removeAll { gone.contains($0.new.name) }
      found.removeAll { gone.contains($0.name) }
      lost.removeAll { used.contains($0.name) }
      kept.subtract(used)
      // What stood where another tensor of the old stands now is not in the new, unless it was found elsewhere.
      lost += pool.0.filter { gone.contains($0.name) && !used.contains($0.name) }
      kept.subtract(lost.map(\.name))
    }
    removed = lost.map { Tensor($0) }
    added = found.map { Tensor($0) }
    changed = changes
  }

  /// Nil when the two are the same.
  private static func change(_ a: TensorStore.Entry, _ b: TensorStore.Entry) throws -> Change? {
    let isSameType = a.dtype == b.dtype && a.shape == b.shape
    let expression = TensorExpression(a)
    if isSameType, a.storedTypeName == b.storedTypeName,
      try ExactComparison.losses(of: expression, ifEqualTo: b) != nil
    {
      return nil
    }
    let isSameSize = Tensors.Tensor.elementCount(of: a.shape) == Tensors.Tensor.elementCount(of: b.shape)
    return Change(old: Tensor(a), new: Tensor(b), difference: isSameSize ? try TensorDifference(expression, b) : nil)
  }

  /// Takes over what the finder found, and pairs what is left by likeness.
  private mutating func pair(_ finder: inout RelationFinder) throws {
    for (index, finding) in finder.findings.enumerated() {
      guard let finding else { continue }
      // A tensor that is a cast of the one of its name is changed, not renamed.
      let isSame = finding.relation.kind == .cast || finding.relation.kind == .identical
      guard !isSame || finding.relation.sources != [finder.output[index].name] else { continue }
      renamed.append(
        Rename(
          new: Tensor(finder.output[index]), relation: finding.relation, recipe: finding.recipe,
          equals: (finder.equals[index] ?? []).map { finder.source[$0].name }, difference: nil))
    }
    let used = Set(finder.findings.compactMap { $0?.uses }.joined().map(\.source))
    let likeness = try Likeness(
      finder.source.indices.filter { !used.contains($0) }.map { finder.source[$0] },
      finder.open.map { finder.output[$0] },
      finder.prober)
    for (a, b, isTurned) in likeness.pairs where a.name != b.name {
      let expression = isTurned ? try TensorExpression(a).transposed() : TensorExpression(a)
      let relation = Relation(
        isTurned ? .transposed : .identical, [a.name], steps: expression.steps, note: "similar, not the same")
      renamed.append(
        Rename(
          new: Tensor(b), relation: relation, recipe: .turned(a.name, steps: expression.steps), equals: [],
          difference: try TensorDifference(expression, b)))
    }
  }
}
