internal import Checkpoints
internal import Digests
public import Tensors

/// A file of one JSON object a line for each tensor of a conversion's output: where it comes from, what was done to it,
/// what that lost, and its digest. `schemas/ledger.schema.json` describes a line.
final class Ledger {
  private let writer: AtomicWriter

  /// Opens the file, so that one that cannot be written is known before any work.
  init(path: String, overwrite: Bool) throws { writer = try AtomicWriter(path: path, overwrite: overwrite) }

  /// Writes all lines and puts the file in place.
  func write(_ conversion: Conversion, _ items: [Conversion.Item], _ work: ConversionWork) throws {
    let results = work.results
    // What was encoded in blocks is read back.
    let missing = items.indices.filter { results[$0]?.digest == nil }
    let output = try missing.isEmpty ? TensorStore() : conversion.format.read(conversion.output)
    for (index, item) in items.enumerated() {
      let digest = try results[index]?.digest ?? output[item.name].map { try $0.digest() }
      try writer.write(Ledger.line(conversion, index, item, digest) + [UInt8(ascii: "\n")])
    }
    try writer.commit()
  }

  private static func line(
    _ conversion: Conversion, _ index: Int, _ item: Conversion.Item, _ digest: Digest?
  ) throws -> [UInt8] {
    var json = JSONWriter(.compact)
    try json.object { json in
      json.member("schema", "bessemer.ledger/1")
      json.member("tensor", item.name.string)
      json.member("file", item.file)
      json.member("dtype", item.to.rawValue)
      json.member("stored", item.storedTo)
      json.array("shape", item.shape)
      if let digest { json.member("digest", digest.description) } else { json.null("digest") }
      try json.array("sources") { json in
        for source in conversion.planned[index].expression.sources {
          try json.object { json in
            json.member("tensor", source.name.string)
            json.member("file", source.file)
            if let place = try source.place { json.member("offset", place.offset) } else { json.null("offset") }
            json.member("dtype", source.dtype.rawValue)
            json.member("stored", source.storedTypeName)
            json.array("shape", source.shape)
          }
        }
      }
      json.array("steps") { json in for step in item.steps { json.value(step) } }
      guard let losses = item.losses else { return json.null("loss") }
      json.object("loss") { losses.write(to: &$0) }
    }
    return json.utf8
  }
}

extension CastLosses.Count {
  /// The members of a JSON object.
  public func write(to json: inout JSONWriter) {
    json.member("examined", examined)
    json.member("changed", changed)
    json.member("overflowed", overflowed)
    json.member("underflowed", underflowed)
    json.member("nan", nanCount)
    json.member("largest_error_ulp", largestError)
    json.member("mean_error_ulp", meanError)
  }
}
