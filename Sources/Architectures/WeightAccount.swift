import Tensors

/// Which weights a graph asked for, and what is wrong between them and the checkpoint.
struct WeightAccount {
  /// More problems than this are not looked for: a configuration with a billion layers stops here.
  static let maximumProblems = 2000

  private var asked: Set<TensorName> = []
  private var ignored: Set<TensorName> = []
  private var ignoredPrefixes: [String] = []
  private var missing: [String] = []
  private var misshapen: [String] = []

  /// Notes that the graph needs `name` in this shape, in this type or any of floating point, and that the checkpoint
  /// has `entry`.
  mutating func ask(_ name: TensorName, _ dtype: DType?, _ shape: [Int], _ entry: TensorStore.Entry?) throws {
    guard asked.insert(name).inserted else { return }
    if let entry {
      if dtype.map({ $0 != entry.dtype }) ?? !entry.dtype.isFloat {
        let expected = dtype?.rawValue ?? "floating point"
        misshapen.append("\(escaped(name.string, limit: 80)) is \(entry.dtype), expected \(expected)")
      } else if entry.shape != shape {
        misshapen.append("\(escaped(name.string, limit: 80)) is \(entry.shape), the configuration says \(shape)")
      }
    } else {
      missing.append(name.string)
    }
    if missing.count + misshapen.count >= WeightAccount.maximumProblems { try fail(surplus: []) }
  }

  /// Notes that the checkpoint may hold `name` without the graph using it.
  mutating func ignore(_ name: TensorName) { ignored.insert(name) }

  /// Notes that the checkpoint may hold what begins with `prefix` without the graph using it.
  mutating func ignore(prefix: String) { ignoredPrefixes.append(prefix) }

  /// Throws ``ErrorCode/weights`` with everything that is missing, surplus or misshapen.
  func settle(against weights: TensorStore) throws {
    let surplus = weights.entries.map(\.name)
      .filter { !asked.contains($0) && !ignored.contains($0) }.map(\.string)
      .filter { name in !WeightAccount.isBuffer(name) && !ignoredPrefixes.contains(where: name.hasPrefix) }
    guard missing.isEmpty, misshapen.isEmpty, surplus.isEmpty else { return try fail(surplus: surplus) }
  }

  private func fail(surplus: [String]) throws {
    var parts: [String] = []
    let shown = missing.count >= WeightAccount.maximumProblems ? Array(missing.prefix(100)) : missing
    if !misshapen.isEmpty { parts.append("\(misshapen.count) misshapen: " + misshapen.joined(separator: "; ")) }
    if !missing.isEmpty {
      parts.append("\(missing.count) missing: " + WeightAccount.collapsed(shown).joined(separator: ", "))
    }
    if !surplus.isEmpty {
      parts.append("\(surplus.count) surplus: " + WeightAccount.collapsed(surplus).joined(separator: ", "))
    }
    throw BessemerError(
      .weights, "config.json and the weights disagree: " + parts.joined(separator: "; "),
      details: misshapen + missing.map { "missing: \($0)" } + surplus.map { "surplus: \($0)" })
  }

  /// Tables that old checkpoints carry although they are computed, not learned.
  private static func isBuffer(_ name: String) -> Bool {
    name.hasSuffix("rotary_emb.inv_freq") || name.hasSuffix("embeddings.position_ids")
  }

  /// Names that differ only in one number written once: `layers.{0-3,5}.weight`.
  static func collapsed(_ names: [String]) -> [String] {
    var order: [String] = []
    var numbers: [String: [Int]] = [:]
    for name in names {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      let at = parts.firstIndex { Int($0) != nil }
      let key = at.map { (parts[..<$0] + ["*"] + parts[($0 + 1)...]).joined(separator: ".") } ?? name
      if numbers[key] == nil { order.append(key) }
      numbers[key, default: []] += at.flatMap { Int(parts[$0]) }.map { [$0] } ?? []
    }
    return order.map { key in
      let list = numbers[key]!.sorted()
      guard let first = list.first else { return escaped(key, limit: 80) }
      var ranges: [(Int, Int)] = [(first, first)]
      for n in list.dropFirst() {
        if n == ranges[ranges.count - 1].1 + 1 { ranges[ranges.count - 1].1 = n } else { ranges.append((n, n)) }
      }
      let text = ranges.map { $0.0 == $0.1 ? "\($0.0)" : "\($0.0)-\($0.1)" }.joined(separator: ",")
      let star = key.firstIndex(of: "*")!
      return escaped(key.replacingCharacters(at: star, with: list.count == 1 ? text : "{\(text)}"), limit: 120)
    }
  }
}

extension String {
  fileprivate func replacingCharacters(at index: Index, with text: String) -> String {
    String(self[..<index]) + text + String(self[self.index(after: index)...])
  }
}
