internal import Dispatch
import Synchronization

/// Makes numbered pieces on several threads and hands them on in order, while the next ones are being made.
///
/// The result does not depend on the number of threads. Memory: two slots per thread.
package struct OrderedPipeline<Slot: AnyObject> {
  /// More threads do not help what writes in order.
  package static var maximumThreadCount: Int { 8 }

  private let batches: [[Slot]]

  /// `makeSlot` makes the memory for one piece.
  package init(threads: Int, makeSlot: () throws -> Slot) rethrows {
    let count = max(1, min(threads, OrderedPipeline.maximumThreadCount))
    batches = try (0..<(count == 1 ? 1 : 2)).map { _ in try (0..<count).map { _ in try makeSlot() } }
  }

  /// Calls `produce` for each piece, on any thread, and then `consume` with the same slot, in order.
  /// Throws the error of the first piece that has one.
  package func run(
    _ pieceCount: Int, produce: (Int, Slot) throws -> Void, consume: (Int, Slot) throws -> Void
  ) throws {
    guard batches.count > 1, pieceCount > 1 else {
      for index in 0..<pieceCount {
        try Interrupt.check()
        try produce(index, batches[0][0])
        try consume(index, batches[0][0])
      }
      return
    }
    let width = batches[0].count
    let batchCount = (pieceCount + width - 1) / width
    for step in 0...batchCount {
      try Interrupt.check()
      let made = step < batchCount ? (step * width)..<min((step + 1) * width, pieceCount) : 0..<0
      let handed = step > 0 ? ((step - 1) * width)..<min(step * width, pieceCount) : 0..<0
      // Iteration 0 hands on what the last step made; the others each fill a slot that no one else has.
      try parallel(made.count + 1) { iteration in
        if iteration == 0 {
          for index in handed { try consume(index, batches[(step + 1) % 2][index % width]) }
        } else {
          try produce(made.lowerBound + iteration - 1, batches[step % 2][iteration - 1])
        }
      }
    }
  }
}

/// Runs `body` for each number below `count` on the system's threads. Throws the error of the lowest number that has
/// one.
package func parallel(_ count: Int, _ body: (Int) throws -> Void) throws {
  let errors = Errors(count: count)
  withoutActuallyEscaping(body) { body in
    let shared = Shared(value: body)
    DispatchQueue.concurrentPerform(iterations: count) { index in errors.note(index) { try shared.value(index) } }
  }
  try errors.throwFirst()
}

/// Runs `body` for each number below `count` on so many threads, the lower numbers first.
package func inParallel(_ count: Int, threads: Int, _ body: (Int) throws -> Void) throws {
  let next = Atomic(0)
  try parallel(max(1, min(threads, count))) { _ in
    while case let index = next.add(1, ordering: .relaxed).oldValue, index < count {
      try Interrupt.check()
      try body(index)
    }
  }
}

/// What `body` makes of each number below `count`, on so many threads.
package func mapInParallel<Result>(_ count: Int, threads: Int, _ body: (Int) throws -> Result) throws -> [Result] {
  var results = [Result?](repeating: nil, count: count)
  try results.withUnsafeMutableBufferPointer { results in
    let places = Shared(value: results)
    try inParallel(count, threads: threads) { places.value[$0] = try body($0) }
  }
  return results.compactMap { $0 }
}

/// What the callers of ``parallel(_:_:)`` promise to be safe: iterations touch nothing that another one writes.
private struct Shared<Value>: @unchecked Sendable {
  let value: Value
}

/// The errors of parallel work, by its number, so that the same one is reported every time.
private final class Errors: @unchecked Sendable {
  // Each element is written by one iteration only, and read after all have ended.
  private let slots: UnsafeMutableBufferPointer<(any Error)?>

  init(count: Int) {
    slots = .allocate(capacity: count)
    slots.initialize(repeating: nil)
  }

  deinit {
    slots.deinitialize()
    slots.deallocate()
  }

  func note(_ index: Int, _ body: () throws -> Void) {
    do { try body() } catch { slots[index] = error }
  }

  func throwFirst() throws {
    for case let error? in slots { throw error }
  }
}
