/// The word among `known` that `word` most likely was meant to be; nil when none is near.
func nearest(to word: String, among known: [String]) -> String? {
  let limit = max(1, word.count / 3 + 1)
  let ranked = known.map { (distance(word, $0), $0) }.min { $0.0 < $1.0 }
  if let ranked, ranked.0 <= limit { return ranked.1 }
  return known.first { word.count > 2 && $0.hasPrefix(word) }
}

/// The least number of characters to insert, delete, replace or swap with a neighbour.
func distance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a.prefix(64).utf8), Array(b.prefix(64).utf8))
  var rows = [Array(0...b.count)]
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var best = min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
      row.append(best)
    }
    rows.append(row)
  }
  return rows[a.count][b.count]
}
