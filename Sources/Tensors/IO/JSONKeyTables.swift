/// Hash tables over the keys of the large objects of a document: they find duplicates while parsing and members later.
struct JSONKeyTables: Sendable {
  /// Objects with more members than this get a table.
  static let threshold = 8

  private struct Table {
    var start: Int
    var mask: Int
  }

  /// By hash with linear probing: the tape index of a key in the low half, hash bits that tell most keys apart without
  /// looking at them in the high half. Zero is empty, as index 0 is never a key.
  private var slots: [UInt64] = []
  private var tables: [Int: Table] = [:]
  /// Random per process, so that no file can be made of colliding keys.
  private static let seeds: (UInt64, UInt64) = (.random(in: .min ... .max) | 1, .random(in: .min ... .max) | 1)

  init() {}

  /// Enters all keys of an object; returns the tape index of a key that occurs before, if one does.
  mutating func add(_ object: Int, childCount: Int, tape: [JSONNode], text: Span<UInt8>) -> Int? {
    var size = 16
    while size < childCount * 2 { size *= 2 }
    let table = Table(start: slots.count, mask: size - 1)
    tables[object] = table
    slots.append(contentsOf: repeatElement(0, count: size))
    var key = object + 1
    for _ in 0..<childCount {
      let node = tape[key]
      let hash = JSONKeyTables.hash(node, text)
      var slot = Int(truncatingIfNeeded: hash) & table.mask
      while case let entry = slots[table.start + slot], entry != 0 {
        if entry >> 32 == hash >> 32, JSONText.isSameKey(tape[Int(entry & 0xFFFF_FFFF)], node, text) { return key }
        slot = (slot + 1) & table.mask
      }
      slots[table.start + slot] = (hash & ~0xFFFF_FFFF) | UInt64(key)
      key = tape[key + 1].next(after: key + 1)
    }
    return nil
  }

  /// Nil when the object has no table; else the tape index of the key's value, if the object has the key.
  func find(
    _ wanted: Span<UInt8>, in object: Int, tape: [JSONNode], text: Span<UInt8>
  ) -> (value: Int?, Void)? {
    guard let table = tables[object] else { return nil }
    let hash = JSONKeyTables.hash(wanted, 0, wanted.count)
    var slot = Int(truncatingIfNeeded: hash) & table.mask
    while case let entry = slots[table.start + slot], entry != 0 {
      let key = Int(entry & 0xFFFF_FFFF)
      if entry >> 32 == hash >> 32, JSONText.isKey(tape[key], wanted, text) { return (key + 1, ()) }
      slot = (slot + 1) & table.mask
    }
    return (nil, ())
  }

  private static func hash(_ node: JSONNode, _ text: Span<UInt8>) -> UInt64 {
    guard node.isEscaped else { return hash(text, Int(node.offset) + 1, node.byteCount) }
    let bytes = JSONText.unescaped(text, Int(node.offset) + 1, node.byteCount)
    return hash(bytes.span, 0, bytes.count)
  }

  /// Eight bytes at a time, mixed by a multiplication folded to 64 bits.
  private static func hash(_ text: Span<UInt8>, _ start: Int, _ count: Int) -> UInt64 {
    let raw = text.bytes
    var state = seeds.0 ^ UInt64(truncatingIfNeeded: count)
    var i = start
    let end = start + count
    while i + 8 <= end {
      state = fold(state ^ raw.unsafeLoadUnaligned(fromByteOffset: i, as: UInt64.self))
      i += 8
    }
    var tail: UInt64 = 0
    while i < end {
      tail = tail << 8 | UInt64(text[i])
      i += 1
    }
    return fold(state ^ tail)
  }

  @inline(__always)
  private static func fold(_ word: UInt64) -> UInt64 {
    let product = word.multipliedFullWidth(by: seeds.1)
    return product.high ^ product.low &+ seeds.0
  }
}
