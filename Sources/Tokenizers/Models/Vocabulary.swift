internal import Tensors

/// Tokens as bytes, each with its id, found by either.
struct Vocabulary: Sendable {
  /// Limits on what a file may declare.
  enum Limit {
    static let id = 1 << 24
    static let byteCount = 1 << 28
  }

  private var text: [UInt8] = []
  private var starts: [Int32] = [0]
  private var ids: [Int32] = []
  /// Open addressing: entry numbers, or -1.
  private var slots: [Int32] = []
  private var mask = 0
  private let seed = ByteHash.currentSeed
  /// Entry numbers in the order of their ids, unless id and entry number are the same.
  private var order: [Int32] = []
  private var isDense = true

  var count: Int { ids.count }

  /// The greatest id, or -1.
  var lastID: Int32 { isDense ? Int32(count) - 1 : order.last.map { ids[Int($0)] } ?? -1 }

  /// Builds the table. Throws ``ErrorCode/tokenizer`` for ids out of range or shared by two tokens.
  init(_ entries: some Sequence<(token: [UInt8], id: Int)>) throws(BessemerError) {
    for (token, id) in entries {
      guard id >= 0, id < Limit.id else {
        throw BessemerError(.tokenizer, "token \(Self.name(token)) has the id \(id), expected 0 to \(Limit.id - 1)")
      }
      text += token
      guard text.count <= Limit.byteCount else {
        throw BessemerError(.limit, "a vocabulary of over \(Limit.byteCount) bytes")
      }
      starts.append(Int32(text.count))
      if id != ids.count { isDense = false }
      ids.append(Int32(id))
    }
    var size = 16
    while size < ids.count * 2 { size *= 2 }
    mask = size - 1
    slots = try filledSlots(size)
    if !isDense { try sortByID() }
  }

  /// The hash table over all entries.
  private func filledSlots(_ size: Int) throws(BessemerError) -> [Int32] {
    var slots = [Int32](repeating: -1, count: size)
    let bytes = text.span
    for entry in 0..<ids.count {
      let range = range(of: entry)
      var slot = Int(truncatingIfNeeded: ByteHash.hash(bytes, range, seed)) & mask
      while slots[slot] >= 0 {
        if Self.equal(bytes, self.range(of: Int(slots[slot])), bytes, range) {
          throw BessemerError(.tokenizer, "token \(Self.name(Array(text[range]))) occurs twice in the vocabulary")
        }
        slot = (slot + 1) & mask
      }
      slots[slot] = Int32(entry)
    }
    return slots
  }

  private mutating func sortByID() throws(BessemerError) {
    let ids = ids
    order = (0..<Int32(ids.count)).sorted { ids[Int($0)] < ids[Int($1)] }
    for (first, second) in zip(order, order.dropFirst()) where ids[Int(first)] == ids[Int(second)] {
      let names = [first, second].map { Self.name(Array(text[range(of: Int($0))])) }
      throw BessemerError(.tokenizer, "tokens \(names[0]) and \(names[1]) share the id \(ids[Int(first)])")
    }
  }

  private static func name(_ token: [UInt8]) -> String { quoted(String(decoding: token, as: UTF8.self)) }

  @inline(__always)
  private func range(of entry: Int) -> Range<Int> { Int(starts[entry])..<Int(starts[entry + 1]) }

  @inline(__always)
  private static func equal(_ a: Span<UInt8>, _ ra: Range<Int>, _ b: Span<UInt8>, _ rb: Range<Int>) -> Bool {
    guard ra.count == rb.count else { return false }
    var (i, j) = (ra.lowerBound, rb.lowerBound)
    while i < ra.upperBound {
      if a[i] != b[j] { return false }
      i += 1
      j += 1
    }
    return true
  }

  /// The id of the token that is a part of a text, or -1.
  @inline(__always)
  func id(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int32 {
    let own = text.span
    var slot = Int(truncatingIfNeeded: ByteHash.hash(bytes, range, seed)) & mask
    while slots[slot] >= 0 {
      let entry = Int(slots[slot])
      if Self.equal(own, self.range(of: entry), bytes, range) { return ids[entry] }
      slot = (slot + 1) & mask
    }
    return -1
  }

  /// The id of a token, or nil.
  func id(of token: [UInt8]) -> Int32? {
    let id = id(token.span, 0..<token.count)
    return id < 0 ? nil : id
  }

  func id(of token: String) -> Int32? { id(of: Array(token.utf8)) }

  /// The token with an id, or nil.
  func token(of id: Int32) -> ArraySlice<UInt8>? {
    guard id >= 0 else { return nil }
    if isDense { return Int(id) < count ? text[range(of: Int(id))] : nil }
    var low = 0
    var high = order.count
    while low < high {
      let middle = (low + high) / 2
      if ids[Int(order[middle])] < id { low = middle + 1 } else { high = middle }
    }
    guard low < order.count, ids[Int(order[low])] == id else { return nil }
    return text[range(of: Int(order[low]))]
  }

  /// All tokens with their ids, in the order of the file.
  var entries: some Sequence<(token: ArraySlice<UInt8>, id: Int32)> {
    (0..<count).lazy.map { (self.text[self.range(of: $0)], self.ids[$0]) }
  }
}
