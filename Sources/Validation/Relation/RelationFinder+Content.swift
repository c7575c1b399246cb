import Tensors

/// Finding by fingerprints: whole tensors in another order, tensors that were joined, parts of tensors.
extension RelationFinder {
  /// Explains what is open by content: first whole tensors, then joined ones, parts, and parts that alternate.
  mutating func findContent() throws {
    let open = open
    guard !open.isEmpty else { return }
    let wanted = Set(open.map { output[$0].dtype })
    let sources = try ContentIndex(
      source, source.map { entry in wanted.filter { Fingerprinter.canCast(entry.dtype, to: $0) } }, scan)
    try findWhole(open, sources)
    for index in self.open { try findJoined(index, sources) }
    try findParts()
    try findAlternating(sources)
  }

  /// Explains outputs by whole sources of the same elements. Where several outputs and sources hold the same, those
  /// whose names have most in common go together, and no source is taken twice while another is left.
  private mutating func findWhole(_ open: [Int], _ sources: ContentIndex) throws {
    var groups: [ContentIndex.Key: [Int]] = [:]
    for (index, sums) in zip(open, try scan.fingerprints(open.map { output[$0] }, as: open.map { [output[$0].dtype] }))
    {
      let entry = output[index]
      guard let sum = sums[entry.dtype] else { continue }
      groups[ContentIndex.Key(dtype: entry.dtype, elementCount: count(entry), fingerprint: sum), default: []]
        .append(index)
    }
    var used: Set<Int> = []
    for (key, outputs) in groups.sorted(by: { $0.value[0] < $1.value[0] }) {
      let candidates = sources.places[key] ?? []
      let pairs = outputs.flatMap { index in
        candidates.map { (index, $0, NameNumbers.affinity(output[index].name, source[$0].name)) }
      }.sorted { ($1.2, $0.0, $0.1) < ($0.2, $1.0, $1.1) }
      for isSecond in [false, true] {
        for (index, other, _) in pairs where findings[index] == nil && (isSecond || !used.contains(other)) {
          guard try explain(index, by: other) else { continue }
          used.insert(other)
          if pairs.count > 1 { equals[index] = candidates.filter { $0 != other } }
        }
      }
      for index in outputs where findings[index] == nil && !candidates.isEmpty {
        let name = source[candidates[0]].name.string
        notes[index] = "has the elements of \(quoted(name)) in an order that is not known"
      }
    }
  }

  // MARK: Joined

  /// Sources that make up a part of an output.
  private struct Joint {
    var expression: TensorExpression
    var sources: [Int]
    /// What was done to each source before it was joined.
    var steps: [[String]]
    /// How the sources were turned before they were joined.
    var turns: Set<String> = []
  }

  /// The most slices of an output that are taken apart one by one.
  private static let maximumSliceCount = 4096

  /// Finds tensors that follow each other along an axis of an output, or of each of its slices.
  private mutating func findJoined(_ index: Int, _ sources: ContentIndex) throws {
    let entry = output[index]
    let whole = TensorExpression(entry)
    var (joint, words, recipe): ((Joint, axis: Int)?, String, Recipe?) = (
      try joint(whole, index, sources, chosen: []), "", nil
    )
    if let (found, axis) = joint {
      words = "concat along axis \(axis)"
      let parts = zip(found.sources, found.steps).map { Recipe.Part(source: source[$0].name, steps: $1) }
      recipe = .joined(parts, axis: axis)
    } else if entry.shape.count > 2, (2...RelationFinder.maximumSliceCount).contains(entry.shape[0]) {
      var all: Joint?
      for k in 0..<entry.shape[0] {
        let slice = try whole.sliced(axis: 0, first: k, count: 1)
        guard let (part, axis) = try self.joint(slice, index, sources, chosen: all?.sources ?? []) else { return }
        words = "concat along axis \(axis), stack of \(entry.shape[0])"
        guard var joined = all else {
          all = part
          continue
        }
        joined.expression = try TensorExpression.concat([joined.expression, part.expression], axis: 0)
        joined.sources += part.sources
        joined.steps += part.steps
        joined.turns.formUnion(part.turns)
        all = joined
      }
      joint = all.map { ($0, 0) }
    }
    guard let (found, _) = joint, let losses = try ExactComparison.losses(of: found.expression, ifEqualTo: entry) else {
      return
    }
    var relation = relation(.concatenated, found.expression, words: words, found.sources, losses)
    if !found.turns.isEmpty { relation.note = "parts: " + found.turns.sorted().joined(separator: "; ") }
    findings[index] = Finding(
      relation: relation, uses: found.sources.map { Use(source: $0, elementCount: count(source[$0])) },
      recipe: recipe)
  }

  /// Sources that follow each other along some axis of a part of an output.
  private func joint(
    _ target: TensorExpression, _ index: Int, _ sources: ContentIndex, chosen: [Int]
  ) throws -> (Joint, axis: Int)? {
    guard let slices = try SliceFingerprints(target) else { return nil }
    for axis in target.shape.indices {
      let runs = sources.runs(slices, axis: axis, dtype: target.dtype, elementCount: target.shape.reduce(1, *))
      if let tiles = RelationFinder.tiling(runs), let joint = try join(tiles, target, index, sources, chosen) {
        return (joint, axis)
      }
    }
    return nil
  }

  /// Runs that cover an axis from its first slice to its last, the longest where there is a choice.
  private static func tiling(_ runs: [[ContentIndex.Run]]) -> [ContentIndex.Run]? {
    var best: [ContentIndex.Run?] = Array(repeating: nil, count: runs.count)
    for first in runs.indices.reversed() {
      best[first] = runs[first].filter { $0.first + $0.count == runs.count || best[$0.first + $0.count] != nil }
        .max { $0.count < $1.count }
    }
    var tiles: [ContentIndex.Run] = []
    var next = 0
    while next < runs.count {
      guard let run = best[next] else { return nil }
      tiles.append(run)
      next += run.count
    }
    return tiles
  }

  private func join(
    _ tiles: [ContentIndex.Run], _ target: TensorExpression, _ index: Int, _ sources: ContentIndex, _ chosen: [Int]
  ) throws -> Joint? {
    var (parts, chosen, steps, turns): ([TensorExpression], [Int], [[String]], Set<String>) = ([], chosen, [], [])
    let first = chosen.count
    for tile in tiles {
      let wanted = try target.sliced(axis: tile.axis, first: tile.first, count: tile.count)
      // Of tensors that hold the same, the one whose number is the part's, and none twice.
      let candidates = byName(sources.places[tile.key] ?? [], index).enumerated().sorted {
        (rank($0.element, chosen, parts.count), $0.offset) < (rank($1.element, chosen, parts.count), $1.offset)
      }
      for (_, other) in candidates where parts.count + first == chosen.count {
        guard let expression = cast(other, to: target.dtype),
          let layout = try layout(of: expression, as: wanted, { _ in true })
        else { continue }
        parts.append(try layout.expression.reshaped(wanted.shape))
        steps.append(parts.last?.steps ?? [])
        chosen.append(other)
        if layout.kind != .identical { turns.insert(layout.words ?? layout.expression.steps.joined(separator: ", ")) }
        break
      }
      guard parts.count + first == chosen.count, parts.last?.shape == wanted.shape else { return nil }
    }
    guard parts.count == tiles.count else { return nil }
    let whole = try TensorExpression.concat(parts, axis: tiles[0].axis)
    return Joint(expression: whole, sources: Array(chosen[first...]), steps: steps, turns: turns)
  }

  private func rank(_ candidate: Int, _ chosen: [Int], _ part: Int) -> Int {
    (chosen.contains(candidate) ? 2 : 0) + (NameNumbers(source[candidate].name).numbers.last == part ? 0 : 1)
  }

  // MARK: Parts

  /// Finds outputs that are slices of a source.
  private mutating func findParts() throws {
    let open = open
    guard !open.isEmpty else { return }
    let entries = open.map { output[$0] }
    let wanted = try ContentIndex(entries, entries.map { [$0.dtype] }, scan)
    var candidates: [Int: [(source: Int, run: ContentIndex.Run)]] = [:]
    for (other, entry) in source.enumerated() {
      for (dtype, sizes) in wanted.sizes where Fingerprinter.canCast(entry.dtype, to: dtype) {
        guard sizes.contains(where: { $0 < count(entry) && isSliceSize($0, entry) }),
          let slices = try cast(other, to: dtype).flatMap({ try SliceFingerprints($0) })
        else { continue }
        for axis in entry.shape.indices {
          for run in wanted.runs(slices, axis: axis, dtype: dtype, elementCount: count(entry)).joined() {
            for slot in wanted.places[run.key] ?? [] { candidates[open[slot], default: []].append((other, run)) }
          }
        }
      }
    }
    for (index, runs) in candidates.sorted(by: { $0.key < $1.key }) {
      let order = byName(Array(Set(runs.map(\.source))), index)
      let bySource = Dictionary(grouping: runs, by: \.source)
      for other in order where findings[index] == nil {
        for (_, run) in bySource[other] ?? [] where findings[index] == nil { try explain(index, part: run, of: other) }
      }
    }
  }

  private func isSliceSize(_ size: Int, _ entry: TensorStore.Entry) -> Bool {
    entry.shape.contains { $0 > 0 && size % (count(entry) / $0) == 0 }
  }

  private mutating func explain(_ index: Int, part run: ContentIndex.Run, of other: Int) throws {
    let entry = output[index]
    guard let whole = cast(other, to: entry.dtype) else { return }
    let slice = try whole.sliced(axis: run.axis, first: run.first, count: run.count)
    guard let (layout, losses) = try layout(of: slice, as: entry) else { return }
    let region = "[\(run.first):\(run.first + run.count)] of axis \(run.axis)"
    var relation = relation(.split, layout.expression, words: "slice \(region)", [other], losses)
    if layout.kind != .identical { relation.note = layout.words ?? layout.expression.steps.last }
    let use = Use(source: other, elementCount: count(entry), region: region, slice: run.first / run.count)
    let steps = whole.steps + layout.expression.steps.dropFirst(slice.steps.count)
    findings[index] = Finding(
      relation: relation, uses: [use],
      recipe: .part(source[other].name, axis: run.axis, first: run.first, count: run.count, steps: steps))
  }
}
