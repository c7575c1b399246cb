import Converter
import Tensors

/// What `inspect` prints of a checkpoint.
struct InspectListing {
  let inspection: Inspection
  /// The model, when its configuration was checked.
  let model: ModelSet?
  let showsMetadata: Bool
  let content: InspectedContent

  func writeText(_ console: Console) throws {
    let isSharded = inspection.byFile.count > 1
    var table = Table(
      content.titled([("name", .left), ("type", .left), ("shape", .left), ("size", .right)])
        + (isSharded ? [("", .left)] : []))
    let files = isSharded ? fileNames() : [:]
    for (index, entry) in inspection.entries.enumerated() {
      if index & 0xFFF == 0 { try Interrupt.check() }
      table.add(name: entry.name.string)
      table.add(entry.storedTypeName)
      table.add(shape: entry.shape)
      table.add(ByteSize(entry.storedByteCount).text)
      content.add(index, to: &table)
      if isSharded { table.add(files[entry.file] ?? "") }
    }
    try table.write(to: console.out)
    if showsMetadata {
      for (key, value) in inspection.weights.metadata.sorted(by: { $0.key < $1.key }) {
        try console.out.line("metadata  \(escaped(key.string, limit: 100)) = \(escaped(value, limit: 1000))")
      }
    }
    try content.writeText(console)
    try console.out.line(summary)
    try console.out.line(secondSummary)
  }

  /// `12 tensors, 1,234 parameters, 5.00 KiB: 10 bf16 (4.00 KiB), 2 f32 (1.00 KiB)`
  private var summary: String {
    let types = inspection.byType.map {
      "\(grouped($0.sum.tensorCount)) \($0.type) (\(ByteSize($0.sum.byteCount).text))"
    }
    let total = inspection.total
    return counted(total.tensorCount, "tensor") + ", " + counted(total.elementCount, "parameter")
      + ", \(ByteSize(total.byteCount).text)" + (types.isEmpty ? "" : ": " + types.joined(separator: ", "))
  }

  private var secondSummary: String {
    var parts = [counted(inspection.byFile.count, "file")]
    let keys = inspection.weights.metadata.keys.sorted()
    let shown = keys.prefix(8).map { escaped($0.string, limit: 40) }.joined(separator: ", ")
    parts.append(keys.isEmpty ? "no metadata" : "metadata \(shown)\(keys.count > 8 ? ", …" : "")")
    if let model {
      parts.append("\(escaped(model.modelType, limit: 40)) for \(model.kind.rawValue), every tensor accounted for")
    }
    return parts.joined(separator: "; ")
  }

  /// File names as they are shown, without the folder, by path.
  private func fileNames() -> [String: String] {
    var names: [String: String] = [:]
    for (file, _) in inspection.byFile { names[file] = escaped(lastComponent(file), limit: 60) }
    return names
  }

  func writeJSON(_ console: Console) throws {
    try console.json("inspect") { json in
      json.member("path", inspection.location.path)
      json.array("tensors") { json in
        for (index, entry) in inspection.entries.enumerated() {
          json.object { json in
            json.member("name", entry.name.string)
            json.member("dtype", entry.storedTypeName)
            json.array("shape", entry.shape)
            json.member("bytes", entry.storedByteCount)
            json.member("file", lastComponent(entry.file))
            content.write(index, to: &json)
          }
        }
      }
      content.write(to: &json)
      json.object("total") { write(inspection.total, &$0) }
      json.object("dtypes") { json in
        for (type, sum) in inspection.byType { json.object(type) { write(sum, &$0) } }
      }
      json.array("files") { json in
        for (file, sum) in inspection.byFile {
          json.object { json in
            json.member("file", lastComponent(file))
            write(sum, &json)
          }
        }
      }
      json.object("metadata") { json in
        for (key, value) in inspection.weights.metadata.sorted(by: { $0.key < $1.key }) {
          json.member(key.string, value)
        }
      }
      guard let model else { return json.null("model") }
      json.object("model") { json in
        json.member("type", model.modelType)
        json.member("kind", model.kind.rawValue)
      }
    }
  }

  private func write(_ sum: Inspection.Sum, _ json: inout JSONWriter) {
    json.member("tensors", sum.tensorCount)
    json.member("parameters", sum.elementCount)
    json.member("bytes", sum.byteCount)
  }
}

/// The last component of a path.
func lastComponent(_ path: String) -> String {
  path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[path.utf8.index(after: $0)...]) } ?? path
}
