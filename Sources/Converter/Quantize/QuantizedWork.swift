import Synchronization
import Tensors

/// Makes the tensors of a package and writes them to their places.
struct QuantizedWork: Sendable {
  /// A file, and where in it each tensor stands.
  struct Output: Sendable {
    let sink: PartsFile
    let places: [TensorName: Range<Int>]
  }

  private let places: [TensorName: (sink: PartsFile, start: Int)]
  private let threads: Int
  private let total: Int
  private let progress: @Sendable (_ done: Int, _ total: Int) -> Void
  private let done = Done()

  init(
    _ outputs: [Output], threads: Int, total: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) {
    var places: [TensorName: (sink: PartsFile, start: Int)] = [:]
    for output in outputs {
      for (name, range) in output.places { places[name] = (output.sink, range.lowerBound) }
    }
    (self.places, self.threads, self.total, self.progress) = (places, threads, total, progress)
  }

  /// Writes a whole tensor.
  func write(_ bytes: Bytes, _ name: TensorName) throws {
    guard let (sink, start) = places[name] else { preconditionFailure("\(name) is in no file") }
    try sink.write(bytes, at: start)
  }

  /// Writes parts, piece by piece, on all threads.
  func write(_ parts: [QuantizedPart], of weights: PreparedWeights) throws {
    let pieces = parts.flatMap { part in part.pieces.map { (part, $0) } }
    try inParallel(pieces.count, threads: threads) { index in
      let (part, rows) = pieces[index]
      for (name, offset, bytes) in try part.make(rows, of: weights) {
        guard let (sink, start) = places[name] else { preconditionFailure("\(name) is in no file") }
        try sink.write(bytes, at: start + offset)
      }
      progress(done.add(part.sourceByteCount(rows)), total)
    }
  }

  private final class Done: Sendable {
    private let count = Mutex(0)

    func add(_ more: Int) -> Int {
      count.withLock { count in
        count += more
        return count
      }
    }
  }
}
