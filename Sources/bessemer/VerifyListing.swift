import ArgumentParser
import Tensors
import Validation

/// What `verify --source` says.
struct VerifyListing {
  let path: String
  let source: String
  let verification: Verification
  /// Whether tensors of the source may be missing.
  let isPartial: Bool

  /// Writes the listing and ends with an error when something is wrong.
  func write(_ console: Console) throws {
    if console.isJSON { try writeJSON(console) } else { try writeText(console) }
    guard let error else { return }
    try console.out.flush()
    // The object on standard output already has the verdict.
    guard console.isJSON else { throw error }
    throw ExitCode(error.code.exitStatus.rawValue)
  }

  private var error: BessemerError? {
    let unexplained = verification.unexplained
    if let first = unexplained.first {
      let others = unexplained.count > 1 ? " and \(grouped(unexplained.count - 1)) more" : ""
      return BessemerError(
        .unexplained, "UNEXPLAINED: \(quoted(first.name.string))\(others): \(first.relation.note ?? "")", file: path,
        details: unexplained.map { "\(quoted($0.name.string)): \($0.relation.note ?? "")" })
    }
    guard !isPartial, let lost = verification.missing.first else { return nil }
    let others = verification.missing.count > 1 ? " and \(grouped(verification.missing.count - 1)) more" : ""
    return BessemerError(
      .comparison, "lacks \(quoted(lost.name.string))\(others) of the source; --partial allows that", file: path,
      details: verification.missing.map { "\(quoted($0.name.string)) is \($0.isPartial ? "not all there" : "missing")" }
    )
  }

  private func writeText(_ console: Console) throws {
    var table = Table([("tensor", .left), ("type", .left), ("relation", .left), ("", .left)])
    for item in verification.items where console.isVerbose || item.relation.isTelling {
      table.add(name: item.name.string)
      table.add(item.type)
      table.add(item.relation.kind == .unexplained ? "UNEXPLAINED" : item.relation.kind.rawValue)
      table.add(words(item))
    }
    if table.rowCount > 0 { try table.write(to: console.out) }
    for lost in verification.missing {
      try console.out.line(
        "not in the output  \(escaped(lost.name.string, limit: 100))\(lost.isPartial ? ", but for a part" : "")")
    }
    let kinds = Relation.Kind.allCases.compactMap { kind -> String? in
      let count = verification.items.count { $0.relation.kind == kind }
      return count > 0 ? "\(grouped(count)) \(kind == .unexplained ? "UNEXPLAINED" : kind.rawValue)" : nil
    }
    try console.out.line("\(counted(verification.items.count, "tensor")): " + kinds.joined(separator: ", "))
  }

  /// Sources, steps, losses and what else is known.
  private func words(_ item: Verification.Item) -> String {
    let relation = item.relation
    var parts: [String] = []
    if relation.sources.map(\.string) != [item.name.string], relation.kind != .unexplained {
      let shown = relation.sources.prefix(3).map { escaped($0.string, limit: 80) }.joined(separator: ", ")
      parts.append("from \(shown)\(relation.sources.count > 3 ? " and \(relation.sources.count - 3) more" : "")")
    }
    parts += relation.steps
    let losses = relation.losses.total
    if losses.examined > 0 {
      parts.append(
        "\(grouped(losses.changed)) of \(grouped(losses.examined)) changed, \(grouped(losses.overflowed)) overflowed, "
          + "\(grouped(losses.nanCount)) NaN")
    }
    if let note = relation.note { parts.append(escaped(note, limit: 300)) }
    return parts.joined(separator: "; ")
  }

  private func writeJSON(_ console: Console) throws {
    try console.json("verify") { json in
      json.member("path", path)
      json.member("source", source)
      json.member("ok", error == nil)
      json.array("tensors") { json in
        for item in verification.items {
          json.object { json in
            json.member("name", item.name.string)
            json.member("type", item.type)
            json.member("relation", item.relation.kind.rawValue)
            json.array("sources", item.relation.sources.map(\.string))
            json.array("steps", item.relation.steps)
            let losses = item.relation.losses.total
            if losses.examined > 0 {
              json.object("cast") { json in
                json.member("examined", losses.examined)
                json.member("changed", losses.changed)
                json.member("overflowed", losses.overflowed)
                json.member("nan", losses.nanCount)
              }
            }
            if let note = item.relation.note { json.member("note", note) }
          }
        }
      }
      json.array("missing") { json in
        for lost in verification.missing {
          json.object { json in
            json.member("name", lost.name.string)
            json.member("partial", lost.isPartial)
          }
        }
      }
    }
  }
}

extension Relation {
  /// Whether the relation is more than the same tensor, or a cast of it.
  fileprivate var isTelling: Bool { kind != .identical && kind != .cast || losses.total.overflowed > 0 }
}
