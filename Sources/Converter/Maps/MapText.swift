internal import Tensors
internal import Validation

/// The text of a map that makes the second of two checkpoints of the first, as far as rules can say it.
struct MapText {
  private var lines: [String] = []
  /// What no rule says.
  private(set) var omitted: [String] = []
  private var renames: [(from: String, to: String)] = []
  /// Names of the first checkpoint: a result that has one of them gets another name until the end.
  private let taken: Set<TensorName>
  private var used: Set<TensorName> = []

  init(_ diff: CheckpointDiff, old: TensorStore) {
    taken = Set(old.entries.map(\.name))
    if !diff.removed.isEmpty { rule("drop", list(diff.removed.map(\.name))) }
    for change in diff.changed { add(change) }
    var parts: [TensorName: [CheckpointDiff.Rename]] = [:]
    for rename in diff.renamed {
      switch rename.recipe {
      case .turned(let source, let steps): turned(rename, source, steps)
      case .joined(let sources, let axis): joined(rename, sources, axis)
      case .part(let source, _, _, _, _): parts[source, default: []].append(rename)
      case nil: omit(rename)
      }
    }
    for (source, parts) in parts.sorted(by: { $0.key < $1.key }) { split(source, parts, old) }
    for tensor in diff.added { omitted.append("\(tensor.name.string): nothing in the first holds it") }
    if !renames.isEmpty {
      lines.append("- rename:")
      for (from, to) in renames { lines.append("    \(MapText.pattern(from)): \(MapText.pattern(to))") }
    }
  }

  /// The whole file.
  var text: String {
    var text = omitted.map { "# not said by a rule: \(escaped($0, limit: 300))\n" }.joined()
    text += lines.isEmpty ? "rules: []\n" : "rules:\n" + lines.joined(separator: "\n") + "\n"
    return text
  }

  // MARK: Tensors

  private mutating func add(_ change: CheckpointDiff.Change) {
    let name = change.new.name.string
    guard change.difference?.changedCount == 0 || change.old.shape == change.new.shape else {
      return omitted.append("\(name): its shape is another")
    }
    if change.old.shape != change.new.shape {
      rule("reshape", MapText.pattern(name), ("shape", "\(change.new.shape)"))
    }
    if change.old.storedType != change.new.storedType {
      guard DType(rawValue: change.new.storedType) != nil else {
        return omitted.append("\(name): the encoding \(change.new.storedType) is chosen with --dtype")
      }
      rule("cast", MapText.pattern(name), ("dtype", change.new.storedType))
    }
    if change.difference?.changedCount ?? 1 > 0, change.old.storedType == change.new.storedType {
      omitted.append("\(name): its elements differ")
    }
  }

  private mutating func omit(_ rename: CheckpointDiff.Rename) {
    omitted.append("\(rename.new.name.string): \(rename.relation.steps.joined(separator: ", "))")
  }

  /// A source is used up by the first tensor that is made of it.
  private mutating func take(_ sources: [TensorName], _ rename: CheckpointDiff.Rename) -> Bool {
    guard Set(sources).count == sources.count, used.isDisjoint(with: sources) else {
      omitted.append("\(rename.new.name.string): its source is used by another tensor too")
      return false
    }
    used.formUnion(sources)
    return true
  }

  private mutating func turned(_ rename: CheckpointDiff.Rename, _ source: TensorName, _ steps: [String]) {
    guard take([source], rename) else { return }
    apply(steps, to: source.string)
    if source != rename.new.name { renames.append((source.string, rename.new.name.string)) }
  }

  private mutating func joined(_ rename: CheckpointDiff.Rename, _ parts: [Recipe.Part], _ axis: Int) {
    guard take(parts.map(\.source), rename) else { return }
    for part in parts { apply(part.steps, to: part.source.string) }
    rule("concat", list(parts.map(\.source)), ("to", MapText.pattern(made(rename.new.name))), ("axis", "\(axis)"))
  }

  /// All slices of a tensor, those that no one wants too.
  private mutating func split(_ source: TensorName, _ parts: [CheckpointDiff.Rename], _ old: TensorStore) {
    typealias Slice = (rename: CheckpointDiff.Rename, axis: Int, first: Int, count: Int, steps: [String])
    let slices = parts.compactMap { rename -> Slice? in
      guard case .part(_, let axis, let first, let count, let steps) = rename.recipe else { return nil }
      return (rename, axis, first, count, steps)
    }.sorted { $0.first < $1.first }
    guard let axis = slices.first?.axis, let extent = old[source]?.shape[axis],
      slices.allSatisfy({ $0.axis == axis }), !used.contains(source),
      zip(slices, slices.dropFirst()).allSatisfy({ $0.first + $0.count <= $1.first })
    else {
      for rename in parts { omit(rename) }
      return
    }
    used.insert(source)
    var (names, sizes, unwanted): ([String], [Int], [TensorName]) = ([], [], [])
    func skip(_ count: Int) {
      guard count > 0 else { return }
      let name = "\(source.string).unused\(unwanted.count)"
      unwanted.append(TensorName(name))
      names.append(name)
      sizes.append(count)
    }
    var next = 0
    for slice in slices {
      skip(slice.first - next)
      names.append(made(slice.rename.new.name))
      sizes.append(slice.count)
      next = slice.first + slice.count
    }
    skip(extent - next)
    let to = "[" + names.map(MapText.pattern).joined(separator: ", ") + "]"
    rule("split", MapText.pattern(source.string), ("to", to), ("axis", "\(axis)"), ("sizes", "\(sizes)"))
    if !unwanted.isEmpty { rule("drop", list(unwanted)) }
    let wanted = names.filter { !unwanted.contains(TensorName($0)) }
    for (slice, name) in zip(slices, wanted) { apply(slice.steps, to: name) }
  }

  /// The name that a new tensor gets first: its own, unless a tensor of the first checkpoint has it.
  private mutating func made(_ name: TensorName) -> String {
    guard taken.contains(name) else { return name.string }
    let other = name.string + ".new"
    renames.append((other, name.string))
    return other
  }

  // MARK: Rules

  private mutating func apply(_ steps: [String], to name: String) {
    for step in steps {
      let words = step.split(separator: " ", maxSplits: 1)
      let rest = words.count > 1 ? String(words[1]) : ""
      switch words.first {
      case "reshape": rule("reshape", MapText.pattern(name), ("shape", rest))
      case "transpose": rule("transpose", MapText.pattern(name), ("axes", rest))
      case "cast": rule("cast", MapText.pattern(name), ("dtype", String(rest.split(separator: " ").last ?? "")))
      default: omitted.append("\(name): \(step)")
      }
    }
  }

  private mutating func rule(_ action: String, _ pattern: String, _ members: (String, String)...) {
    lines.append("- \(action): \(pattern)")
    for (key, value) in members { lines.append("  \(key): \(value)") }
  }

  private func list(_ names: [TensorName]) -> String {
    "[" + names.map { MapText.pattern($0.string) }.joined(separator: ", ") + "]"
  }

  /// A name as a pattern that matches it alone, between quotes.
  private static func pattern(_ name: String) -> String {
    var json = JSONWriter(.compact)
    json.value(MapPattern.literal(name))
    return String(decoding: json.utf8, as: UTF8.self)
  }
}
