import Tensors
import Validation

/// What `diff` prints.
struct DiffListing {
  let old: String
  let new: String
  let diff: CheckpointDiff

  func writeText(_ console: Console) throws {
    guard !diff.isEmpty else { return try console.out.line("\(counted(diff.equalCount, "tensor")), all the same") }
    try console.out.line("--- \(escaped(old, limit: 240))")
    try console.out.line("+++ \(escaped(new, limit: 240))")
    var table = Table([("", .left), ("", .left), ("", .left), ("", .left)])
    func row(_ mark: String, _ name: TensorName, _ type: String, _ words: String) {
      table.add(mark)
      table.add(name: name.string)
      table.add(type)
      table.add(words)
    }
    for tensor in diff.removed { row("-", tensor.name, type(tensor), "") }
    for tensor in diff.added { row("+", tensor.name, type(tensor), "") }
    for change in diff.changed {
      let (a, b) = (type(change.old), type(change.new))
      row("~", change.new.name, a == b ? a : "\(a) -> \(b)", change.difference.map(words) ?? "")
    }
    for rename in diff.renamed { row(">", rename.new.name, type(rename.new), words(rename)) }
    try table.write(to: console.out)
    try console.out.line(
      "\(counted(diff.equalCount, "tensor")) the same, \(grouped(diff.removed.count)) removed, "
        + "\(grouped(diff.added.count)) added, \(grouped(diff.changed.count)) changed, "
        + "\(grouped(diff.renamed.count)) renamed")
  }

  private func type(_ tensor: CheckpointDiff.Tensor) -> String {
    "\(tensor.storedType)[\(tensor.shape.map(String.init).joined(separator: ","))]"
  }

  private func words(_ difference: TensorDifference) -> String {
    guard difference.changedCount > 0 else { return "no value changed" }
    let other = difference.nonFiniteCount > 0 ? ", \(grouped(difference.nonFiniteCount)) not finite" : ""
    return "\(grouped(difference.changedCount)) of \(grouped(difference.elementCount)) changed\(other), largest "
      + "\(significant(difference.largest)), mean \(significant(difference.mean)), cosine "
      + significant(difference.cosine, 6)
  }

  private func words(_ rename: CheckpointDiff.Rename) -> String {
    let sources = rename.relation.sources
    let shown = sources.prefix(3).map { escaped($0.string, limit: 100) }.joined(separator: ", ")
    var parts = ["from \(shown)\(sources.count > 3 ? " and \(sources.count - 3) more" : "")"]
    parts += rename.relation.steps
    if let difference = rename.difference { parts.append("similar: \(words(difference))") }
    if !rename.equals.isEmpty {
      let others = rename.equals.prefix(3).map { escaped($0.string, limit: 100) }.joined(separator: ", ")
      parts.append("ambiguous: \(others)\(rename.equals.count > 3 ? ", …" : "") are the same")
    }
    return parts.joined(separator: "; ")
  }

  func writeJSON(_ console: Console) throws {
    try console.json("diff") { json in
      json.member("old", old)
      json.member("new", new)
      json.member("equal", diff.equalCount)
      for (key, tensors) in [("removed", diff.removed), ("added", diff.added)] {
        json.array(key) { json in for tensor in tensors { json.object { write(tensor, &$0) } } }
      }
      json.array("changed") { json in
        for change in diff.changed {
          json.object { json in
            json.member("name", change.new.name.string)
            for (key, tensor) in [("old", change.old), ("new", change.new)] {
              json.object(key) { writeType(tensor, &$0) }
            }
            if let difference = change.difference { write(difference, &json) }
          }
        }
      }
      json.array("renamed") { json in
        for rename in diff.renamed {
          json.object { json in
            write(rename.new, &json)
            json.array("from", rename.relation.sources.map(\.string))
            json.member("relation", rename.relation.kind.rawValue)
            json.array("steps", rename.relation.steps)
            json.member("ambiguous", !rename.equals.isEmpty)
            json.array("equals", rename.equals.map(\.string))
            if let difference = rename.difference { write(difference, &json) }
          }
        }
      }
    }
  }

  private func write(_ tensor: CheckpointDiff.Tensor, _ json: inout JSONWriter) {
    json.member("name", tensor.name.string)
    writeType(tensor, &json)
  }

  private func writeType(_ tensor: CheckpointDiff.Tensor, _ json: inout JSONWriter) {
    json.member("dtype", tensor.storedType)
    json.array("shape", tensor.shape)
  }

  private func write(_ difference: TensorDifference, _ json: inout JSONWriter) {
    json.member("elements", difference.elementCount)
    json.member("changed", difference.changedCount)
    json.member("not_finite", difference.nonFiniteCount)
    json.member("largest", difference.largest)
    json.member("mean", difference.mean)
    json.member("cosine", difference.cosine)
  }
}
