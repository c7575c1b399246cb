import Converter
import Tensors

/// Writes a quantized package and says what became of each tensor.
struct QuantizeListing {
  private let quantizer: Quantizer
  private let isDryRun: Bool

  init(_ quantizer: Quantizer, isDryRun: Bool) { (self.quantizer, self.isDryRun) = (quantizer, isDryRun) }

  func write(_ console: Console) throws {
    var notes: [String] = []
    if !isDryRun {
      let progress = console.progress("quantize", unit: .bytes)
      defer { progress.finish() }
      notes = try quantizer.write { progress.update($0, of: $1) }
    }
    if console.isJSON { try writeJSON(notes, console) } else { try writeText(notes, console) }
  }

  private func writeText(_ notes: [String], _ console: Console) throws {
    var table = Table([("", .left), ("", .left), ("", .left), ("", .right), ("", .left)])
    for item in quantizer.items where item.scheme != nil || console.isVerbose {
      table.add(name: item.name.string)
      table.add(item.from.dtype.rawValue)
      table.add(shape: item.from.shape ?? [])
      table.add(ByteSize(item.byteCount).text)
      table.add(item.scheme.map { item.keepsCodes ? "\($0), codes kept" : $0 } ?? "unchanged")
    }
    try table.write(to: console.out)
    for note in notes { try console.out.line("note: \(note)") }
    let quantized = quantizer.items.filter { $0.scheme != nil }.count
    try console.out.line(
      "\(isDryRun ? "would write" : "wrote") \(escaped(quantizer.output, limit: 240)): "
        + "\(counted(quantized, "layer")) quantized, "
        + "\(counted(quantizer.items.count - quantized, "tensor")) kept")
    try console.out.line(
      "\(ByteSize(quantizer.sourceByteCount).text) in, \(ByteSize(quantizer.byteCount).text) out; "
        + "memory peak \(ByteSize(Machine.peakByteCount).text)")
  }

  private func writeJSON(_ notes: [String], _ console: Console) throws {
    try console.json("quantize") { json in
      json.member("input", quantizer.input)
      json.member("output", quantizer.output)
      json.member("dry_run", isDryRun)
      json.array("tensors") { json in
        for item in quantizer.items {
          json.object { json in
            json.member("name", item.name.string)
            json.member("from", item.from.description)
            if let scheme = item.scheme { json.member("scheme", scheme) } else { json.null("scheme") }
            json.member("codes_kept", item.keepsCodes)
            json.member("bytes", item.byteCount)
          }
        }
      }
      json.array("notes", notes)
      json.member("bytes_in", quantizer.sourceByteCount)
      json.member("bytes_out", quantizer.byteCount)
      json.member("memory_peak_bytes", Machine.peakByteCount)
    }
  }
}
