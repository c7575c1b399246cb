import IR
import TestSupport
import Tensors

/// The graphs of `fixtures/graphs`.
enum GraphFixtures {
  static let names = Fixtures.names("graphs", suffix: ".txt").filter { $0 != "errors.txt" }
  /// Those with weights and runs in a JSON file beside them.
  static let runnable = Fixtures.names("graphs", suffix: ".json")

  static func text(_ name: String) throws -> String { try Fixtures.text("graphs/" + name) }

  static func graph(_ name: String) throws -> Graph { try Graph(text: text(name)) }

  /// The texts of `errors.txt`: sections that begin with `==== EXPECTED ERROR`.
  static let errors: [(expected: String, text: String)] = {
    let all: String
    do { all = try text("errors.txt") } catch { preconditionFailure("\(error)") }
    var sections: [(String, String)] = []
    for line in all.split(separator: "\n") {
      if line.hasPrefix("==== ") {
        sections.append((String(line.dropFirst(5)), ""))
      } else if !sections.isEmpty {
        sections[sections.count - 1].1 += line + "\n"
      }
    }
    return sections
  }()

  /// Tensors by name.
  static func tensors(_ json: JSON?) throws -> [String: Tensor] {
    guard let json else { return [:] }
    return try Dictionary(uniqueKeysWithValues: json.asObject().map { ($0.key, try Tensor(json: $0.value)) })
  }
}
