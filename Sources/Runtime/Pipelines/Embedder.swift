import IR
import Tensors

/// How the vectors of a text's tokens become one vector, as sentence-transformers configures it.
public struct Pooling: Sendable {
  public enum Mode: String, Sendable, CaseIterable {
    /// The first token's.
    case cls
    case max
    case mean
    /// The sum, divided by the square root of the number of tokens.
    case meanOfSquareRoot = "mean_sqrt_len_tokens"
    /// The mean, each token weighing as much as its place, counted from 1.
    case weightedMean = "weightedmean"
    case lastToken = "lasttoken"
  }

  /// What each gives stands one behind the other in the result.
  public var modes: [Mode]
  /// Whether the result is scaled to length 1.
  public var normalizes: Bool

  public init(modes: [Mode] = [.mean], normalizes: Bool = true) {
    self.modes = modes
    self.normalizes = normalizes
  }
}

/// Turns token sequences into vectors with an encoder.
public final class Embedder {
  private let session: Session
  private let pooling: Pooling

  /// The model must have an input `input_ids` and an output `last_hidden_state`.
  public init(_ session: Session, pooling: Pooling) throws {
    let graph = session.model.graph
    guard graph.input(named: "input_ids") != nil, graph.outputs.contains(where: { $0.name == "last_hidden_state" })
    else {
      throw BessemerError(.modelInput, "the model does not embed text: it has no input_ids or no last_hidden_state")
    }
    self.session = session
    self.pooling = pooling
  }

  /// One vector for each sequence; shorter ones are padded on the right and masked.
  public func embed(_ sequences: [[Int32]], padding: Int32 = 0) throws -> [[Float]] {
    guard !sequences.isEmpty, sequences.allSatisfy({ !$0.isEmpty }) else {
      throw BessemerError(.modelInput, "a text has no tokens")
    }
    let width = sequences.map(\.count).max() ?? 0
    var (ids, mask): ([Int64], [Int64]) = ([], [])
    for sequence in sequences {
      let missing = width - sequence.count
      ids += sequence.map { Int64($0) } + [Int64](repeating: Int64(padding), count: missing)
      mask += sequence.map { _ in 1 } + [Int64](repeating: 0, count: missing)
    }
    let shape = [sequences.count, width]
    session.reset()
    let outputs = try session.run(
      ["input_ids": Tensor(ids, shape: shape), "attention_mask": Tensor(mask, shape: shape)],
      outputs: ["last_hidden_state"])
    guard let hidden = outputs["last_hidden_state"] else { preconditionFailure("no last_hidden_state") }
    let (values, size) = (hidden.floats, hidden.shape[2])
    return sequences.enumerated().map { k, sequence in
      pool(values[(k * width * size)..<(k * width + sequence.count) * size], size)
    }
  }

  /// The vector of a text from those of its tokens, one after the other.
  private func pool(_ tokens: ArraySlice<Float>, _ size: Int) -> [Float] {
    var result = pooling.modes.flatMap { pool(tokens, size, $0) }
    if pooling.normalizes {
      let length = result.reduce(0) { $0 + $1 * $1 }.squareRoot()
      if length > 0 { result = result.map { $0 / length } }
    }
    return result.map { Float($0) }
  }

  private func pool(_ tokens: ArraySlice<Float>, _ size: Int, _ mode: Pooling.Mode) -> [Double] {
    let (first, count) = (tokens.startIndex, tokens.count / size)
    func sum(_ weight: (Int) -> Double) -> [Double] {
      (0..<size).map { i in (0..<count).reduce(0.0) { $0 + weight($1) * Double(tokens[first + $1 * size + i]) } }
    }
    switch mode {
    case .cls: return tokens.prefix(size).map { Double($0) }
    case .lastToken: return tokens.suffix(size).map { Double($0) }
    case .max: return (0..<size).map { i in (0..<count).map { Double(tokens[first + $0 * size + i]) }.max() ?? 0 }
    case .mean: return sum { _ in 1 / Double(count) }
    case .meanOfSquareRoot: return sum { _ in 1 / Double(count).squareRoot() }
    case .weightedMean: return sum { Double($0 + 1) / Double(count * (count + 1) / 2) }
    }
  }
}
