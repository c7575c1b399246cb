import Tensors

/// A name taken apart: its text without numbers, and the numbers.
struct NameNumbers: Hashable, Sendable {
  /// The name with `#` for each run of digits.
  let template: String
  let numbers: [Int]

  init(_ name: TensorName) {
    var (template, numbers): (String, [Int]) = ("", [])
    var digits = ""
    for character in name.string.unicodeScalars {
      if ("0"..."9").contains(character), digits.count < 18 {
        digits.unicodeScalars.append(character)
        continue
      }
      if let number = Int(digits) {
        template += "#"
        numbers.append(number)
        digits = ""
      }
      template.unicodeScalars.append(character)
    }
    if let number = Int(digits) {
      template += "#"
      numbers.append(number)
    }
    self.template = template
    self.numbers = numbers
  }

  /// How much two names have in common, from 0 to 1: their words and numbers, whatever separates them.
  static func affinity(_ a: TensorName, _ b: TensorName) -> Double {
    if a == b { return 2 }
    let (x, y) = (words(a), words(b))
    guard !x.isEmpty, !y.isEmpty else { return 0 }
    var counts: [Substring: Int] = [:]
    for word in x { counts[word, default: 0] += 1 }
    var common = 0
    for word in y where counts[word, default: 0] > 0 {
      counts[word, default: 0] -= 1
      common += 1
    }
    return 2 * Double(common) / Double(x.count + y.count)
  }

  private static func words(_ name: TensorName) -> [Substring] {
    name.string.split { !($0.isLetter || $0.isNumber) }
  }
}

/// Whether tensors stand at the places that their names say, as far as the names of all together tell: where layer 3
/// became layer 3 and expert 5 slice 5 nearly everywhere, an exception is a mistake.
struct NameOrder {
  /// A source of an output: its name, its number among the parts of the output, and that among the parts whose names
  /// differ only in numbers.
  struct Link {
    let output: Int
    let outputName: TensorName
    let sourceName: TensorName
    let part: Int
    let partCount: Int
    let likePart: Int
    /// Which of the source's slices of this size the output is; nil for the whole source.
    var slice: Int?
  }

  /// By output, what is wrong with its sources.
  private(set) var problems: [Int: String] = [:]

  init(_ links: [Link]) {
    checkNumbers(links)
    checkParts(links)
  }

  /// Links of one kind, in each of which a number of the source follows from a number of the output.
  private mutating func checkNumbers(_ links: [Link]) {
    struct Kind: Hashable {
      let output: String
      let source: String
      let isPart: Bool
      let isSlice: Bool
    }
    typealias Row = (link: Link, from: [Int], to: [Int])
    var kinds: [Kind: [Row]] = [:]
    for link in links {
      let (output, source) = (NameNumbers(link.outputName), NameNumbers(link.sourceName))
      let isPart = link.partCount > 1
      let kind = Kind(
        output: output.template, source: source.template, isPart: isPart, isSlice: link.slice != nil)
      let slice = link.slice.map { [$0] } ?? []
      kinds[kind, default: []].append((link, output.numbers + (isPart ? [link.likePart] : []), source.numbers + slice))
    }
    for rows in kinds.values where rows.count > 1 {
      for place in rows[0].to.indices {
        // A number that follows from one of the output's, or, last, that is always the same.
        var best: (from: Int?, offset: Int, count: Int) = (nil, 0, 0)
        func number(_ row: Row, _ from: Int?) -> Int { from.map { row.from[$0] } ?? 0 }
        for from in rows[0].from.indices.map({ Optional($0) }) + [nil] {
          var counts: [Int: Int] = [:]
          for row in rows { counts[row.to[place] &- number(row, from), default: 0] += 1 }
          for (offset, count) in counts.sorted(by: { ($0.key.magnitude, $0.key) < ($1.key.magnitude, $1.key) })
          where count > best.count || count == best.count && from != nil && offset.magnitude < best.offset.magnitude {
            best = (from, offset, count)
          }
        }
        guard best.count < rows.count else { continue }
        let isRule = rows.count > 2 && best.count * 3 >= rows.count * 2
        // Without a rule, the same numbers in another order are an exchange.
        let offset = isRule ? best.offset : 0
        guard isRule || NameOrder.isExchange(rows.map { (number($0, best.from), $0.to[place]) }) else { continue }
        for row in rows where row.to[place] &- number(row, best.from) != offset {
          let what = place < NameNumbers(row.link.sourceName).numbers.count ? "number" : "slice"
          problems[row.link.output] =
            "holds \(what) \(row.to[place]) of \(quoted(row.link.sourceName.string)), where the others' names call for "
            + "\(number(row, best.from) &+ offset)"
        }
      }
    }
  }

  private static func isExchange(_ pairs: [(Int, Int)]) -> Bool {
    let (from, to) = (Set(pairs.map(\.0)), Set(pairs.map(\.1)))
    return from == to && from.count == Set(pairs.map { [$0.0, $0.1] }).count
  }

  /// Outputs of one kind, which have their parts in one order.
  private mutating func checkParts(_ links: [Link]) {
    let outputs = Dictionary(grouping: links.filter { $0.partCount > 1 }, by: \.output)
    var kinds: [String: [(output: Int, order: [String])]] = [:]
    for (output, parts) in outputs {
      let order = parts.sorted { $0.part < $1.part }.map { NameNumbers($0.sourceName).template }
      guard Set(order).count > 1 else { continue }
      let kind = NameNumbers(parts[0].outputName).template + " " + order.sorted().joined(separator: " ")
      kinds[kind, default: []].append((output, order))
    }
    for members in kinds.values where members.count > 2 {
      let counts = Dictionary(members.map { ($0.order, 1) }, uniquingKeysWith: +)
      guard let usual = counts.max(by: { $0.value < $1.value }), usual.value * 3 >= members.count * 2 else { continue }
      for member in members where member.order != usual.key {
        problems[member.output] = "its parts are not in the order of the others, \(usual.key.joined(separator: ", "))"
      }
    }
  }
}
