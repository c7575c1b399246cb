import Converter
import Digests
import Tensors
import Validation

/// What `inspect` shows of the bytes of tensors: who shares them, and with `--stats` and `--digest` what they say.
struct InspectedContent {
  private let shared: [SharedTensors]
  private let statistics: [TensorStatistics]?
  private let digests: [Digest]?
  private let root: Digest?

  init(_ entries: [TensorStore.Entry], _ scan: ContentScan? = nil) throws {
    statistics = scan?.statistics
    digests = scan?.digests
    shared = try SharedTensors.groups(entries, digests: digests)
    root = digests.map { digests in modelDigest(zip(entries, digests).map { ($0.name, $1) }) }
  }

  /// The columns of the listing, whose titles are shown only when there are more than those given.
  func titled(_ columns: [(String, Table.Alignment)]) -> [(title: String, alignment: Table.Alignment)] {
    guard statistics != nil || digests != nil else { return columns.map { ("", $0.1) } }
    let numbers = ["min", "max", "mean", "deviation", "zeros", "NaN", "Inf"].map { ($0, Table.Alignment.right) }
    return (columns + (statistics == nil ? [] : numbers) + (digests == nil ? [] : [("digest", .left)]))
      .map { (title: $0.0, alignment: $0.1) }
  }

  /// The cells of tensor `index` in these columns.
  func add(_ index: Int, to table: inout Table) {
    if let statistics = statistics?[index] {
      for value in [statistics.least, statistics.greatest, statistics.mean, statistics.deviation] {
        table.add(value.map { significant($0) } ?? "-")
      }
      for count in [statistics.zeroCount, statistics.nanCount, statistics.infinityCount] { table.add(grouped(count)) }
    }
    if let digest = digests?[index] { table.add(digest.description) }
  }

  /// The lines below the listing.
  func writeText(_ console: Console) throws {
    for group in shared {
      let names = group.names.prefix(8).map { escaped($0.string, limit: 100) }.joined(separator: ", ")
      let more = group.names.count > 8 ? " and \(group.names.count - 8) more" : ""
      let words = group.reason == .place ? "the same bytes" : "equal values"
      try console.out.line("shared  \(names)\(more): \(words)")
    }
    if let root { try console.out.line("digest  \(root)") }
  }

  /// The members of tensor `index`.
  func write(_ index: Int, to json: inout JSONWriter) {
    if let digest = digests?[index] { json.member("digest", digest.description) }
    guard let statistics = statistics?[index] else { return }
    json.object("stats") { json in
      for (key, value) in [
        ("min", statistics.least), ("max", statistics.greatest), ("mean", statistics.mean),
        ("deviation", statistics.deviation),
      ] {
        if let value { json.member(key, value) } else { json.null(key) }
      }
      json.member("zeros", statistics.zeroCount)
      json.member("nan", statistics.nanCount)
      json.member("inf", statistics.infinityCount)
    }
  }

  /// The members of the whole.
  func write(to json: inout JSONWriter) {
    if let root { json.member("digest", root.description) }
    json.array("shared") { json in
      for group in shared {
        json.object { json in
          json.array("tensors", group.names.map(\.string))
          json.member("by", group.reason.rawValue)
        }
      }
    }
  }
}
