internal import Digests
internal import Synchronization
internal import Tensors

/// Progress and results of a conversion while it runs.
final class ConversionWork: Sendable {
  /// What became of a tensor.
  struct Result: Sendable {
    var losses: CastLosses.Count?
    /// Of the bytes that were written.
    var digest: Digest?
  }

  private let state = Mutex<(done: Int, results: [Int: Result])>((0, [:]))
  private let total: Int
  private let progress: @Sendable (Int, Int) -> Void

  init(total: Int, progress: @escaping @Sendable (Int, Int) -> Void) {
    self.total = total
    self.progress = progress
  }

  /// By the tensor's index among those of the output.
  var results: [Int: Result] { state.withLock { $0.results } }

  func add(_ count: Int) {
    let done = state.withLock { state in
      state.done += count
      return state.done
    }
    progress(done, total)
  }

  func note(_ index: Int, _ body: (inout Result) -> Void) {
    state.withLock { body(&$0.results[index, default: Result()]) }
  }

  // MARK: Going on with what another run left

  /// The results of these tensors as a text, which ``restore(_:_:)`` reads.
  func text(_ indices: [Int]) -> String {
    let results = results
    var json = JSONWriter(.compact)
    json.array { json in
      for index in indices {
        json.object { json in
          if let digest = results[index]?.digest { json.member("digest", digest.description) }
          if let losses = results[index]?.losses { json.array("losses", losses.numbers) }
        }
      }
    }
    return json.text
  }

  /// Takes over the results of another run.
  func restore(_ indices: [Int], _ text: String) throws {
    let elements = try JSON.parse(Bytes(text.utf8)).asArray()
    guard Array(elements).count == indices.count else {
      throw BessemerError(.json, "the journal of the unfinished folder has notes on other tensors; remove the folder")
    }
    for (index, element) in zip(indices, elements) {
      note(index) { result in
        result.digest = element["digest"]?.string.flatMap { Digest(hex: $0) }
        result.losses = element["losses"].flatMap { losses in
          CastLosses.Count(numbers: losses.elements.compactMap(\.int))
        }
      }
    }
  }
}
