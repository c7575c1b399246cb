internal import Tensors

/// Tensors on their way through a map: each rule takes some out and puts others in their place.
struct MapEngine {
  /// A tensor of the result.
  struct Item {
    var name: TensorName
    var expression: TensorExpression
    /// Where it stands among the others: that of its first source, and the number of the part.
    var order: [Int]
  }

  /// In no order; nil where one was taken out.
  private var items: [Item?] = []
  private var places: [TensorName: Int] = [:]
  /// Sources that no rule has named.
  private var unclaimed: Set<Int> = []
  private(set) var problems: [String] = []

  init(_ store: TensorStore) {
    items.reserveCapacity(store.entries.count)
    for entry in store.entries {
      places[entry.name] = items.count
      unclaimed.insert(items.count)
      items.append(Item(name: entry.name, expression: TensorExpression(entry), order: [items.count]))
    }
  }

  /// The tensors in the order of the sources.
  var result: [Item] {
    let all = items.compactMap(\.self)
    let isSorted = zip(all, all.dropFirst()).allSatisfy { !$1.order.lexicographicallyPrecedes($0.order) }
    return isSorted ? all : all.sorted { $0.order.lexicographicallyPrecedes($1.order) }
  }

  /// The names of sources that no rule has named.
  func unclaimedNames(_ store: TensorStore) -> [TensorName] { unclaimed.sorted().map { store.entries[$0].name } }

  var names: [TensorName] { items.compactMap { $0?.name } }

  mutating func apply(_ rules: [MapRule]) throws {
    for rule in rules {
      try Interrupt.check()
      try apply(rule)
    }
  }

  private mutating func apply(_ rule: MapRule) throws {
    let groups = rule.action.joins ? try self.groups(rule) : try singles(rule)
    var made: [Item] = []
    for group in groups {
      let sources = group.matches.compactMap { items[$0.place] }
      guard sources.count == group.matches.count else {
        let name = rule.patterns[group.pattern].text
        problems.append("\(rule.place): what \(quoted(name)) matches is matched by another pattern of the rule")
        continue
      }
      for match in group.matches { take(match.place) }
      do { made += try results(rule, sources, group) } catch let error as BessemerError {
        let others = sources.count == 1 ? "" : " and \(sources.count - 1) more"
        problems.append("\(rule.place): \(quoted(sources[0].name.string))\(others): \(error.message)")
        // The sources stay, so that later rules find what they look for.
        made += sources
      }
    }
    for item in made { put(item, rule) }
  }

  // MARK: Taking and putting

  private mutating func take(_ place: Int) {
    guard let item = items[place] else { return }
    items[place] = nil
    places[item.name] = nil
    unclaimed.remove(place)
  }

  private mutating func put(_ item: Item, _ rule: MapRule) {
    guard places[item.name] == nil else {
      return problems.append("\(rule.place): the name \(quoted(item.name.string)) is given twice or taken already")
    }
    // The place of its source, if that is free, keeps the list short.
    if item.order.count == 1, items[item.order[0]] == nil {
      places[item.name] = item.order[0]
      items[item.order[0]] = item
    } else {
      places[item.name] = items.count
      items.append(item)
    }
  }

  // MARK: Matching

  private typealias Match = (place: Int, captures: MapPattern.Captures)

  /// Tensors that a rule acts on together; the first of them fills in the names.
  private struct Group {
    let matches: [Match]
    /// Which of the rule's patterns the first one matches.
    var pattern = 0
  }

  private func matches(_ pattern: MapPattern) throws -> [Match] {
    if let name = pattern.name { return places[name].map { [($0, MapPattern.Captures())] } ?? [] }
    var result: [Match] = []
    for (place, item) in items.enumerated() {
      if let item, let captures = try pattern.match(item.name) { result.append((place, captures)) }
    }
    return result
  }

  private mutating func noteMissing(_ rule: MapRule, _ pattern: MapPattern) {
    if !rule.isOptional { problems.append("\(rule.place): \(quoted(pattern.text)) matches nothing") }
  }

  private mutating func singles(_ rule: MapRule) throws -> [Group] {
    var groups: [Group] = []
    for (index, pattern) in rule.patterns.enumerated() {
      let found = try matches(pattern)
      if found.isEmpty { noteMissing(rule, pattern) }
      groups += found.map { Group(matches: [$0], pattern: index) }
    }
    return groups
  }

  /// The tensors that are joined with each other: those that agree in what the patterns leave open, in the order of
  /// the patterns or of the numbers of a field.
  private mutating func groups(_ rule: MapRule) throws -> [Group] {
    var order: [MapPattern.Captures] = []
    var groups: [MapPattern.Captures: [Int: Match]] = [:]
    for (index, pattern) in rule.patterns.enumerated() {
      let found = try matches(pattern)
      if found.isEmpty { noteMissing(rule, pattern) }
      for match in found {
        var (key, number) = (match.captures, index)
        if let over = rule.over {
          let text = key.fields.removeValue(forKey: over) ?? ""
          guard let value = Int(text), value >= 0, String(value) == text else {
            problems.append("\(rule.place): {\(over)} of \(name(match)) is no number")
            continue
          }
          number = value
        }
        if groups[key] == nil { order.append(key) }
        groups[key, default: [:]][number] = match
      }
    }
    return order.compactMap { key in
      let group = groups[key] ?? [:]
      let count = rule.over == nil ? rule.patterns.count : group.count
      guard let missing = (0..<count).first(where: { group[$0] == nil }) else {
        return Group(matches: (0..<count).compactMap { group[$0] })
      }
      guard let first = group.values.min(by: { $0.place < $1.place }) else { return nil }
      let what = rule.over.map { "{\($0)} = \(missing), numbers go from 0 on" } ?? quoted(rule.patterns[missing].text)
      problems.append("\(rule.place): \(name(first)) has no partner for \(what)")
      return nil
    }
  }

  private func name(_ match: Match) -> String { quoted(items[match.place]?.name.string ?? "") }

  // MARK: Acting

  /// What becomes of the sources, the first of which gave the captures.
  private func results(_ rule: MapRule, _ sources: [Item], _ group: Group) throws -> [Item] {
    let (source, tensor) = (sources[0], sources[0].expression)
    let captures = group.matches[0].captures
    let name = rule.names.isEmpty ? source.name : rule.names[group.pattern].filled(captures)
    func one(_ expression: TensorExpression) -> [Item] {
      [Item(name: name, expression: expression, order: source.order)]
    }
    switch rule.action {
    case .rename: return one(tensor)
    case .transpose(let axes): return one(try tensor.transposed(axes))
    case .reshape(let shape): return one(try tensor.reshaped(shape))
    case .slice(let axis, let first, let count, let step):
      return one(try tensor.sliced(axis: axis, first: first, count: count, step: step))
    case .concat(let axis): return one(try .concat(sources.map(\.expression), axis: axis))
    case .stack(let axis): return one(try .stack(sources.map(\.expression), axis: axis))
    case .interleave(let heads): return one(try tensor.interleavedHalves(heads: heads))
    case .deinterleave(let heads): return one(try tensor.deinterleavedHalves(heads: heads))
    case .cast(let dtype): return one(try tensor.cast(to: dtype))
    case .drop: return []
    case .split, .unstack:
      let parts = try parts(rule, tensor)
      return parts.enumerated().map { index, part in
        var captures = captures
        if let over = rule.over { captures.fields[over] = String(index) }
        let template = rule.over == nil ? rule.names[index] : rule.names[0]
        return Item(name: template.filled(captures), expression: part, order: source.order + [index])
      }
    }
  }

  private func parts(_ rule: MapRule, _ tensor: TensorExpression) throws -> [TensorExpression] {
    switch rule.action {
    case .split(let axis, .sizes(let sizes)): return try tensor.split(axis: axis, sizes: sizes)
    case .split(let axis, .count(let count)): return try tensor.split(axis: axis, into: count)
    case .unstack(let axis):
      let parts = try tensor.unstacked(axis: axis)
      guard rule.over != nil || parts.count == rule.names.count else {
        throw BessemerError(
          .tensorLayout, "\(tensor.type) has \(parts.count) parts, \(rule.names.count) names are given")
      }
      return parts
    default: return [tensor]
    }
  }
}
