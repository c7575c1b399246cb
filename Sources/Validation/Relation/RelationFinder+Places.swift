import Tensors

/// What the findings of all tensors say together: which sources are used up, and which outputs have what is another's.
extension RelationFinder {
  /// Sources that no output has, or not with all elements.
  func unused() -> [(source: Int, isPartial: Bool)] {
    var regions: [Int: [String: Int]] = [:]
    for finding in findings {
      for use in finding?.uses ?? [] { regions[use.source, default: [:]][use.region ?? ""] = use.elementCount }
    }
    var unused: [(source: Int, isPartial: Bool)] = []
    for (index, entry) in source.enumerated() {
      let used = regions[index, default: [:]].values.reduce(0) { $0.addingReportingOverflow($1).partialValue }
      if used < count(entry) || regions[index] == nil { unused.append((index, used > 0)) }
    }
    return unused
  }

  /// The unused sources that are missing: one that holds what another one holds is in the output with it.
  func missing(_ unused: [(source: Int, isPartial: Bool)]) throws -> [(source: Int, isPartial: Bool)] {
    guard !unused.isEmpty else { return [] }
    let complete = Set(source.indices).subtracting(unused.map(\.source))
    return try unused.filter { index, _ in try !complete.contains { try holdSame(index, $0) } }
  }

  /// Whether two sources hold the same elements in the same order.
  private func holdSame(_ a: Int, _ b: Int) throws -> Bool {
    let (x, y) = (source[a], source[b])
    guard x.dtype == y.dtype, x.shape == y.shape else { return false }
    if let wanted = try prober.open(TensorExpression(x)), let own = try prober.open(TensorExpression(y)),
      try !prober.mayBeEqual(wanted, own)
    {
      return false
    }
    return try ExactComparison.losses(of: TensorExpression(y), ifEqualTo: x) != nil
  }

  /// Takes back findings that content alone allows but names or what is unused speak against, and says which outputs
  /// are second copies.
  mutating func checkPlaces(unused: [Int]) {
    checkNamesakes()
    checkOrder()
    checkCopies(unused: unused)
  }

  /// An output that holds something else than the source of its own name.
  private mutating func checkNamesakes() {
    for index in output.indices {
      guard let own = namesake(of: index), let finding = findings[index], finding.relation.kind != .scale,
        !finding.uses.contains(where: { $0.source == own }), let used = finding.uses.first,
        (try? holdSame(own, used.source)) != true, count(source[own]) == count(output[index])
      else { continue }
      let name = quoted(source[used.source].name.string)
      take(index, "holds \(name), while the source's tensor of its own name is another")
    }
  }

  /// An output that has what another one's name calls for.
  private mutating func checkOrder() {
    var links: [NameOrder.Link] = []
    for (index, finding) in findings.enumerated() {
      guard let finding, finding.relation.kind != .scale else { continue }
      var counts: [String: Int] = [:]
      for (part, use) in finding.uses.enumerated() {
        let likePart = counts[NameNumbers(source[use.source].name).template, default: 0]
        counts[NameNumbers(source[use.source].name).template] = likePart + 1
        links.append(
          NameOrder.Link(
            output: index, outputName: output[index].name, sourceName: source[use.source].name, part: part,
            partCount: finding.uses.count, likePart: likePart, slice: use.slice))
      }
    }
    for (index, problem) in NameOrder(links).problems { take(index, problem) }
  }

  /// Outputs that hold the same elements of the same sources: tied weights, unless sources of such a shape are unused,
  /// whose places the copies have.
  private mutating func checkCopies(unused: [Int]) {
    var users: [[Use]: [Int]] = [:]
    for (index, finding) in findings.enumerated() {
      guard let finding, finding.relation.kind != .scale, finding.relation.kind != .unexplained else { continue }
      users[finding.uses, default: []].append(index)
    }
    var lost: [[Int]: [Int]] = Dictionary(grouping: unused) { source[$0].shape.sorted() }
    // What nothing explains has the places of as many.
    for index in output.indices where findings[index].map({ $0.relation.kind == .unexplained }) ?? true {
      _ = lost[output[index].shape.sorted()]?.popLast()
    }
    for (uses, indices) in users.sorted(by: { $0.value[0] < $1.value[0] }) where indices.count > 1 && !uses.isEmpty {
      let name = source[uses[0].source].name
      let order = indices.sorted {
        (NameNumbers.affinity(output[$1].name, name), $0) < (NameNumbers.affinity(output[$0].name, name), $1)
      }
      for copy in order.dropFirst() {
        let shapes = [output[copy].shape, source[uses[0].source].shape].map { $0.sorted() }
        if let other = shapes.compactMap({ lost[$0]?.last }).first {
          take(
            copy,
            "holds the same as \(quoted(output[order[0]].name.string)), while "
              + "\(quoted(source[other].name.string)) is not used, or not all of it")
          continue
        }
        guard let relation = findings[copy]?.relation, relation.kind != .quantized else { continue }
        var tied = Relation(.tied, relation.sources, steps: relation.steps, losses: relation.losses)
        tied.note = "the same as \(quoted(output[order[0]].name.string))"
        findings[copy]?.relation = tied
      }
    }
  }

  private mutating func take(_ index: Int, _ problem: String) {
    let sources = findings[index]?.relation.sources ?? []
    findings[index]?.relation = .unexplained(problem, sources)
  }
}
