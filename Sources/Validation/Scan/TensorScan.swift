import Digests
import Synchronization
package import Tensors

/// Goes through tensors once, in pieces that several threads share. What the pieces come to is handed on in their
/// order, so that no result depends on the number of threads.
package struct TensorScan: Sendable {
  /// Bytes of a piece: whole elements of every type, and a leaf of a digest.
  package static let pieceByteCount = TensorHasher.leafByteCount
  /// From this size on, threads share the pieces of a tensor rather than the tensors.
  private static let sharedByteCount = 4 * pieceByteCount

  private let threads: Int
  private let report: @Sendable (Int) -> Void

  /// `progress` gets the bytes done and, as the total, those of all that will be scanned; never from two threads at
  /// once.
  package init(threads: Int, total: Int, progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) {
    self.threads = max(1, threads)
    let done = Counter()
    report = { count in done.add(count) { progress($0, total) } }
  }

  /// Calls `map` for each piece of each tensor, on any thread, and then `reduce` for each tensor with the results of
  /// its pieces in order, one after the other.
  package func run<Part: Sendable>(
    _ entries: [TensorStore.Entry], map: @Sendable (_ index: Int, _ piece: Bytes) throws -> Part,
    reduce: (_ index: Int, _ parts: [Part]) throws -> Void
  ) throws {
    let alone = entries.indices.filter { entries[$0].isStreamed || entries[$0].byteCount < TensorScan.sharedByteCount }
    let parts = Slots<[Part]>(count: entries.count)
    try forEach(alone.count) { number in
      let index = alone[number]
      var own: [Part] = []
      try entries[index].forEachPiece(of: TensorScan.pieceByteCount) { piece in
        own.append(try map(index, piece))
        report(piece.count)
      }
      parts[index] = own
    }
    for (index, entry) in entries.enumerated() {
      if let own = parts[index] {
        try reduce(index, own)
        continue
      }
      let bytes = try entry.window() ?? Bytes([])
      let size = TensorScan.pieceByteCount
      let pieces = Slots<Part>(count: (bytes.count + size - 1) / size)
      try forEach(pieces.count) { number in
        let piece = bytes[(number * size)..<min(bytes.count, (number + 1) * size)]
        pieces[number] = try map(index, piece)
        piece.releasePages()
        report(piece.count)
      }
      try reduce(index, (0..<pieces.count).compactMap { pieces[$0] })
    }
  }

  /// Notes that so many bytes were read.
  func note(_ byteCount: Int) { report(byteCount) }

  /// Runs `body` for each number below `count` on the threads, which take the next one when they are free.
  package func forEach(_ count: Int, _ body: (Int) throws -> Void) throws {
    let next = Counter()
    try parallel(min(threads, count)) { _ in
      while true {
        let number = next.add(1)
        guard number < count else { return }
        try Interrupt.check()
        do { try body(number) } catch {
          // The others need not go on.
          next.add(count)
          throw error
        }
      }
    }
  }
}

/// A number that threads add to.
private final class Counter: Sendable {
  private let value = Mutex(0)

  /// Adds `count` and returns the number before; `body` gets the one afterwards while others wait.
  @discardableResult
  func add(_ count: Int, _ body: (Int) -> Void = { _ in }) -> Int {
    value.withLock { value in
      let before = value
      value = before.addingReportingOverflow(count).partialValue
      body(value)
      return before
    }
  }
}

/// Results by number, each written by one thread.
final class Slots<Value: Sendable>: Sendable {
  private let values: Mutex<[Value?]>
  let count: Int

  init(count: Int) {
    self.count = count
    values = Mutex(Array(repeating: nil, count: count))
  }

  subscript(index: Int) -> Value? {
    get { values.withLock { $0[index] } }
    set { values.withLock { $0[index] = newValue } }
  }
}
