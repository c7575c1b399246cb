import Quantization
import Tensors
import YAML

/// The members of a mapping.
struct Fields {
  private let members: [(key: String, line: Int, value: YAML)]

  init(_ members: [(key: String, line: Int, value: YAML)]) { self.members = members }

  subscript(key: String) -> YAML? { members.first { $0.key == key }?.value }

  func text(_ key: String) throws -> String? { try self[key]?.asString() }

  /// A number, with or without quotes.
  func number(_ key: String) throws -> Float? { try double(key).map { Float($0) } }

  func double(_ key: String) throws -> Double? {
    guard let value = self[key] else { return nil }
    guard case .scalar(let text, _) = value.content, let number = Double(text), Float(number).isFinite else {
      throw value.mismatch("a number")
    }
    return number
  }

  /// Throws for a key that is none of these or `type`.
  func expect(_ keys: [String]) throws {
    for member in members where member.key != "type" && !keys.contains(member.key) {
      throw RecipeFile.unknown("the key", member.key, member.line)
    }
  }

  func requireSymmetric() throws {
    if let value = self["symmetric"], try !value.asBool() {
      throw RecipeFile.unknown("asymmetric smoothing", "symmetric", value.line)
    }
  }

  func count(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let value = self[key] else { return nil }
    let count = try value.asInt()
    guard range.contains(count) else { throw value.mismatch("\(range.lowerBound) to \(range.upperBound)") }
    return count
  }

  /// The size of blocks that are rotated; nil for all channels.
  func block() throws -> Int? {
    let size = try self["block_size"]?.asInt()
    return size == -1 ? nil : size
  }

  func refuseOnlineRotation(_ line: Int) throws {
    guard try self["online"]?.asBool() != true, try self["down_proj_online_layers"]?.asSequence().isEmpty != false
    else { throw RecipeFile.unknown("rotation", "online", line) }
  }

  func selection() throws -> QuantizationRecipe.Selection {
    func patterns(_ key: String) throws -> [NamePattern]? {
      try self[key]?.asSequence().flatMap { try NamePattern.braces($0.asString()) }
    }
    let include = try patterns("include")
    return QuantizationRecipe.Selection(
      include: include?.isEmpty == true ? nil : include, exclude: try patterns("exclude") ?? [])
  }

  func smoothing(_ algorithm: QuantizationRecipe.Smoothing.Algorithm) throws -> QuantizationRecipe.Smoothing {
    var smoothing = QuantizationRecipe.Smoothing(algorithm: algorithm)
    smoothing.selection = try selection()
    if let kinds = self["enable_subgraph_type"] {
      let names = try kinds.asSequence().map { value in
        let name = try value.asString()
        guard let kind = Subgraph.Kind(rawValue: name) else {
          throw RecipeFile.unknown("the subgraph", name, value.line)
        }
        return kind
      }
      smoothing.kinds = Subgraph.Kind.allCases.filter(names.contains)
    }
    return smoothing
  }
}

extension NamePattern {
  /// The patterns that one with braces stands for: `a{b,c}` is `ab` and `ac`.
  static func braces(_ text: String) throws -> [NamePattern] {
    guard let start = text.firstIndex(of: "{"), let end = text[start...].firstIndex(of: "}") else {
      return [try NamePattern(text)]
    }
    let parts = text[text.index(after: start)..<end].split(separator: ",", omittingEmptySubsequences: false)
    let (head, tail) = (String(text[..<start]), String(text[text.index(after: end)...]))
    return try parts.flatMap { try braces(head + $0 + tail) }
  }
}
