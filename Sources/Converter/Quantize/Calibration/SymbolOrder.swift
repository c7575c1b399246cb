import Runtime

/// Whether what follows what in sequences of symbols is chance: as many pairs of neighbours occur again as when each
/// sequence is shuffled.
///
/// Of real text, prose and programs in several languages, by characters or by words, the number is ten standard
/// deviations and more from that of shuffled ones; that of shuffled text is below four.
enum SymbolOrder {
  /// The fewest and the most symbols that are looked at.
  private static let (least, limit) = (1 << 10, 1 << 14)
  private static let shuffles = 20
  /// Pairs that occur again by chance, below which there is too little to say.
  private static let leastRepeats = 40.0
  private static let leastDeviations = 5.0

  /// False also where there is too little to say.
  static func isChance<Symbol: Hashable>(_ sequences: [[Symbol]]) -> Bool {
    var numbers: [Symbol: UInt64] = [:]
    var rest = limit
    var known = sequences.map { sequence in
      let part = sequence.prefix(rest)
      rest -= part.count
      return part.map { symbol in
        let number = numbers[symbol] ?? UInt64(numbers.count)
        numbers[symbol] = number
        return number
      }
    }
    guard limit - rest >= least else { return false }
    let found = Double(repeats(known))
    var random = SplitMix64(state: 0)
    var counts: [Double] = []
    for _ in 0..<shuffles {
      for index in known.indices { shuffle(&known[index], &random) }
      counts.append(Double(repeats(known)))
    }
    let mean = counts.reduce(0, +) / Double(shuffles)
    let variance = counts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(shuffles - 1)
    return mean >= leastRepeats && abs(found - mean) < leastDeviations * max(variance.squareRoot(), 1)
  }

  /// Pairs of neighbours that occurred before.
  private static func repeats(_ sequences: [[UInt64]]) -> Int {
    var (seen, count): (Set<UInt64>, Int) = ([], 0)
    for sequence in sequences {
      for (first, second) in zip(sequence, sequence.dropFirst()) {
        if !seen.insert(first << 32 | second).inserted { count += 1 }
      }
    }
    return count
  }

  private static func shuffle(_ symbols: inout [UInt64], _ random: inout SplitMix64) {
    for index in symbols.indices.dropFirst().reversed() {
      symbols.swapAt(index, Int(random.unit() * Double(index + 1)))
    }
  }
}
