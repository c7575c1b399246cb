import Tensors

/// Finding tensors whose rows alternate in groups, as fused query, key and value projections have them by heads: their
/// fingerprints add up to that of the fused one, wherever the rows stand.
extension RelationFinder {
  /// The most tensors among which sums are looked for.
  private static let maximumCount = 600

  /// Explains what is open by two or three tensors in groups of rows, and the other way.
  mutating func findAlternating(_ sources: ContentIndex) throws {
    let used = Set(findings.compactMap { $0?.uses }.joined().map(\.source))
    let free = source.indices.filter { !used.contains($0) }
    for index in open {
      let entry = output[index]
      let parts = free.filter {
        Fingerprinter.canCast(source[$0].dtype, to: entry.dtype) && fits(source[$0], in: entry)
      }
      guard parts.count > 1, parts.count <= RelationFinder.maximumCount else { continue }
      let sums = try fingerprints(parts.map { source[$0] }, entry.dtype)
      for group in RelationFinder.groups(
        byName(parts, index), sums: Dictionary(zip(parts, sums)) { first, _ in first },
        total: try fingerprints([entry], entry.dtype)[0])
      where findings[index] == nil {
        try explain(index, alternating: group)
      }
    }
    for other in free {
      let whole = source[other]
      for dtype in Set(open.map { output[$0].dtype }) where Fingerprinter.canCast(whole.dtype, to: dtype) {
        let parts = open.filter { output[$0].dtype == dtype && fits(output[$0], in: whole) }
        guard parts.count > 1, parts.count <= RelationFinder.maximumCount else { continue }
        let sums = try fingerprints(parts.map { output[$0] }, dtype)
        for group in RelationFinder.groups(
          parts, sums: Dictionary(zip(parts, sums)) { first, _ in first },
          total: try fingerprints([whole], dtype)[0])
        where group.allSatisfy({ findings[$0] == nil }) {
          try explain(group, alternatingIn: other)
        }
      }
    }
  }

  private func fingerprints(_ entries: [TensorStore.Entry], _ dtype: DType) throws -> [Fingerprint] {
    try scan.fingerprints(entries, as: entries.map { _ in [dtype] }).map { $0[dtype] ?? Fingerprint() }
  }

  /// Whether a tensor may be some of the rows of another.
  private func fits(_ part: TensorStore.Entry, in whole: TensorStore.Entry) -> Bool {
    part.shape.count == whole.shape.count && part.shape.dropFirst() == whole.shape.dropFirst()
      && part.shape.first ?? 0 > 0 && part.shape.first ?? 0 < whole.shape.first ?? 0
  }

  /// Two or three tensors whose fingerprints add up to the total.
  private static func groups(_ parts: [Int], sums: [Int: Fingerprint], total: Fingerprint) -> [[Int]] {
    let bySum = Dictionary(grouping: parts) { sums[$0] ?? Fingerprint() }
    var groups: Set<[Int]> = []
    for a in parts {
      let rest = total - (sums[a] ?? Fingerprint())
      for b in bySum[rest] ?? [] where b > a { groups.insert([a, b]) }
      for b in parts where b > a {
        for c in bySum[rest - (sums[b] ?? Fingerprint())] ?? [] where c > b { groups.insert([a, b, c]) }
      }
    }
    return groups.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// All orders of up to three numbers.
  private static func orders(_ numbers: [Int]) -> [[Int]] {
    guard numbers.count > 1 else { return [numbers] }
    return numbers.flatMap { first in orders(numbers.filter { $0 != first }).map { [first] + $0 } }
  }

  /// The numbers of groups into which the rows of all parts can be divided.
  private func groupCounts(_ parts: [TensorStore.Entry]) -> [Int] {
    guard let first = parts.first?.shape.first else { return [] }
    return Layout.divisors(first).filter { count in count > 1 && parts.allSatisfy { $0.shape[0] % count == 0 } }
  }

  private mutating func explain(_ index: Int, alternating group: [Int]) throws {
    let entry = output[index]
    let wanted = try prober.open(TensorExpression(entry))
    for order in RelationFinder.orders(group) {
      for groups in groupCounts(order.map { source[$0] }) {
        let parts = try order.compactMap { cast($0, to: entry.dtype) }.map {
          try $0.reshaped([groups, $0.shape[0] / groups] + $0.shape.dropFirst())
        }
        let whole = try TensorExpression.concat(parts, axis: 1).reshaped(entry.shape)
        guard let wanted, let own = try prober.open(whole), try prober.mayBeEqual(own, wanted),
          let losses = try ExactComparison.losses(of: whole, ifEqualTo: entry)
        else { continue }
        let relation = relation(.concatenated, whole, words: "concat in \(groups) groups of rows", order, losses)
        findings[index] = Finding(
          relation: relation, uses: order.map { Use(source: $0, elementCount: count(source[$0])) })
        return
      }
    }
  }

  private mutating func explain(_ group: [Int], alternatingIn other: Int) throws {
    for order in RelationFinder.orders(group) {
      for groups in groupCounts(order.map { output[$0] }) {
        let sizes = order.map { output[$0].shape[0] / groups }
        guard let whole = cast(other, to: output[order[0]].dtype) else { return }
        let parts = try whole.reshaped([groups, whole.shape[0] / groups] + whole.shape.dropFirst())
          .split(axis: 1, sizes: sizes)
        var found: [(Int, Finding)] = []
        for (slot, (index, part)) in zip(order, parts).enumerated() {
          let part = try part.reshaped(output[index].shape)
          guard let wanted = try prober.open(TensorExpression(output[index])), let own = try prober.open(part),
            try prober.mayBeEqual(own, wanted),
            let losses = try ExactComparison.losses(of: part, ifEqualTo: output[index])
          else { break }
          let relation = relation(.split, part, words: "rows of \(groups) groups", [other], losses)
          let use = Use(source: other, elementCount: count(output[index]), region: "groups \(slot)", slice: slot)
          found.append((index, Finding(relation: relation, uses: [use])))
        }
        guard found.count == order.count else { continue }
        for (index, finding) in found { findings[index] = finding }
        return
      }
    }
  }
}
