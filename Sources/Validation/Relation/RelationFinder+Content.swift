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
    for (slot, sum) in try scan.fingerprints(open.map { output[$0] }, as: open.map { [output[$0].dtype] }).enumerated()
    {
      try findWhole(open[slot], sum[output[open[slot]].dtype] ?? Fingerprint(), sources)
    }
    for index in self.open { try findJoined(index, sources) }
    try findParts()
    try findAlternating(sources)
  }

  private mutating func findWhole(_ index: Int, _ sum: Fingerprint, _ sources: ContentIndex) throws {
    let entry = output[index]
    let candidates = byName(sources[entry.dtype, count(entry), sum], index)
    for other in candidates where try explain(index, by: other) { return }
    guard let first = candidates.first else { return }
    notes[index] = "has the elements of \(quoted(source[first].name.string)) in an order that is not known"
  }

  // MARK: Joined

  /// Finds tensors that follow each other along an axis of an output.
  private mutating func findJoined(_ index: Int, _ sources: ContentIndex) throws {
    let entry = output[index]
    guard let slices = try SliceFingerprints(entry, as: entry.dtype) else { return }
    for axis in entry.shape.indices {
      let runs = sources.runs(slices, axis: axis, dtype: entry.dtype, elementCount: count(entry))
      guard let tiling = RelationFinder.tiling(runs) else { continue }
      if try explain(index, joined: tiling, sources) { return }
    }
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

  private mutating func explain(_ index: Int, joined tiles: [ContentIndex.Run], _ sources: ContentIndex) throws -> Bool
  {
    let entry = output[index]
    var (parts, chosen, words): ([TensorExpression], [Int], [String]) = ([], [], [])
    for tile in tiles {
      let target = try TensorExpression(entry).sliced(axis: tile.axis, first: tile.first, count: tile.count)
      let candidates = byName(sources.places[tile.key] ?? [], index)
      // Of tensors that hold the same, the one whose number is the part's, and none twice.
      let ordered = candidates.enumerated().sorted {
        (rank($0.element, chosen, parts.count), $0.offset) < (rank($1.element, chosen, parts.count), $1.offset)
      }.map(\.element)
      var found = false
      for other in ordered {
        guard let expression = cast(other, to: entry.dtype),
          let layout = try layout(of: expression, as: target, { _ in true })
        else { continue }
        parts.append(try layout.expression.reshaped(target.shape))
        chosen.append(other)
        if layout.kind != .identical { words.append(layout.words ?? layout.expression.steps.joined(separator: ", ")) }
        found = true
        break
      }
      guard found else { return false }
    }
    let whole = try TensorExpression.concat(parts, axis: tiles[0].axis)
    guard let losses = try ExactComparison.losses(of: whole, ifEqualTo: entry) else { return false }
    var relation = relation(.concatenated, whole, words: "concat along axis \(tiles[0].axis)", chosen, losses)
    if !words.isEmpty { relation.note = "parts: " + Set(words).sorted().joined(separator: "; ") }
    findings[index] = Finding(relation: relation, uses: chosen.map { Use(source: $0, elementCount: count(source[$0])) })
    return true
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
          let slices = try SliceFingerprints(entry, as: dtype)
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
    guard let whole = cast(other, to: entry.dtype),
      let (layout, losses) = try layout(
        of: whole.sliced(axis: run.axis, first: run.first, count: run.count), as: entry)
    else { return }
    let region = "[\(run.first):\(run.first + run.count)] of axis \(run.axis)"
    var relation = relation(.split, layout.expression, words: "slice \(region)", [other], losses)
    if layout.kind != .identical { relation.note = layout.words ?? layout.expression.steps.last }
    let use = Use(source: other, elementCount: count(entry), region: region)
    findings[index] = Finding(relation: relation, uses: [use])
  }
}
