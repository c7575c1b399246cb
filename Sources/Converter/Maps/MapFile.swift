internal import Tensors
internal import YAML

/// Reads the rules of a map from YAML: a mapping with a list `rules`, or that list alone. docs/MAPS.md describes it,
/// schemas/weight-map.schema.json is its schema.
enum MapFile {
  /// Throws ``ErrorCode/weightMap`` with all problems of the file, ``ErrorCode/yaml`` for what is no YAML.
  static func read(_ path: String) throws -> [MapRule] {
    let root = try YAML.read(path)
    return try inFile(path) { try rules(root) }
  }

  static func rules(_ root: YAML) throws -> [MapRule] {
    var list = root
    if case .mapping(let members) = root.content {
      for member in members where member.key != "rules" {
        throw BessemerError(
          .yaml, "line \(member.line): the key \(quoted(member.key)) is not known, expected \"rules\"")
      }
      guard let rules = members.first?.value else { throw root.mismatch("\"rules\"") }
      list = rules
    }
    var rules: [MapRule] = []
    var problems: [String] = []
    for element in try list.asSequence() {
      do { rules.append(try rule(element)) } catch let error as BessemerError {
        problems.append(error.code == .yaml ? error.message : "line \(element.line): \(error.message)")
      }
    }
    try report(problems)
    guard !rules.isEmpty else { throw root.mismatch("a list of rules") }
    return rules
  }

  /// Throws when there are problems: the first in the line of the error, all in its details.
  static func report(_ problems: [String]) throws {
    guard let first = problems.first else { return }
    let others = problems.count > 1 ? " (and \(problems.count - 1) more, see --verbose)" : ""
    throw BessemerError(.weightMap, first + others, details: problems)
  }

  /// The words that name an action, by alphabet, each with the keys that go with it beside `to` and `optional`.
  private static let words: [String: Set<String>] = [
    "cast": ["dtype"], "concat": ["axis", "over"], "deinterleave": ["heads"], "drop": [], "interleave": ["heads"],
    "keep": [], "permute": ["axes"], "rename": [], "reshape": ["shape"], "slice": ["axis", "count", "first", "step"],
    "split": ["axis", "over", "parts", "sizes"], "stack": ["axis", "over"], "transpose": ["axes"],
    "unstack": ["axis", "over"],
  ]

  private static func rule(_ element: YAML) throws -> MapRule {
    let members = try element.asMapping()
    let actions = members.filter { words[$0.key] != nil }
    guard actions.count == 1, let action = actions.first, let keys = words[action.key] else {
      let known = words.keys.sorted().joined(separator: ", ")
      throw element.mismatch("one of \(known)")
    }
    for member in members where member.key != action.key && !keys.contains(member.key) {
      guard member.key == "optional" || member.key == "to" && action.key != "drop" && action.key != "keep" else {
        throw BessemerError(
          .yaml, "line \(member.line): the key \(quoted(member.key)) does not go with \(quoted(action.key))")
      }
    }
    let values = Values(members: members, word: action.key, line: element.line)
    var (patterns, names) = (try texts(action.value), try values["to"].map { try texts($0) } ?? [])
    if action.key == "rename" {
      if case .mapping(let table) = action.value.content {
        guard values["to"] == nil else { throw element.mismatch("a table of names or \"to\", not both") }
        (patterns, names) = (table.map(\.key), try table.map { try $0.value.asString() })
      } else if names.isEmpty {
        throw element.mismatch("\"to\"")
      }
    }
    return try MapRule(
      try values.action(), patterns, to: names, over: values["over"]?.asString(),
      isOptional: values["optional"]?.asBool() ?? false, place: "line \(element.line)")
  }

  /// One text, or a list of them.
  private static func texts(_ value: YAML) throws -> [String] {
    switch value.content {
    case .scalar: return [try value.asString()]
    case .sequence(let elements): return try elements.map { try $0.asString() }
    case .mapping: return []
    }
  }

  /// The keys of a rule.
  private struct Values {
    let members: [(key: String, line: Int, value: YAML)]
    let word: String
    let line: Int

    subscript(key: String) -> YAML? { members.first { $0.key == key }?.value }

    func required(_ key: String) throws -> YAML {
      guard let value = self[key] else {
        throw BessemerError(.yaml, "line \(line): \(quoted(word)) needs \(quoted(key))")
      }
      return value
    }

    func action() throws -> MapRule.Action {
      let axis = try self["axis"]?.asInt() ?? 0
      switch word {
      case "cast":
        let value = try required("dtype")
        guard let dtype = DType(spelling: try value.asString()) else { throw value.mismatch("an element type") }
        return .cast(dtype)
      case "concat": return .concat(axis: axis)
      case "deinterleave": return .deinterleave(heads: try required("heads").asInt())
      case "drop": return .drop
      case "interleave": return .interleave(heads: try required("heads").asInt())
      case "permute": return .transpose(axes: try required("axes").asInts())
      case "reshape": return .reshape(try required("shape").asInts())
      case "slice":
        return .slice(
          axis: axis, first: try required("first").asInt(), count: try required("count").asInt(),
          step: try self["step"]?.asInt() ?? 1)
      case "split":
        if let parts = self["parts"], self["sizes"] == nil { return .split(axis: axis, .count(try parts.asInt())) }
        guard self["parts"] == nil else { throw try required("parts").mismatch("parts or sizes, not both") }
        return .split(axis: axis, .sizes(try required("sizes").asInts()))
      case "stack": return .stack(axis: axis)
      case "transpose": return .transpose(axes: try self["axes"]?.asInts())
      case "unstack": return .unstack(axis: axis)
      default: return .rename
      }
    }
  }
}
