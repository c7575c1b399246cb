import IR
package import Tensors

/// A model's scores of all tokens at one position, and what their softmax says.
package struct Scores {
  private let logits: Tensor
  private let row: Int
  /// The logarithm of the sum of exp(score).
  private let normalizer: Double
  /// The likeliest token, the first of equal ones.
  let top: Int

  /// - Parameter logits: [1, positions, vocabulary] in float32.
  package init(_ logits: Tensor, _ row: Int) {
    self.logits = logits
    self.row = row
    (normalizer, top) = Scores.withRow(logits, row) { scores in
      var top = 0
      for k in scores.indices where scores[k] > scores[top] { top = k }
      let largest = Double(scores[top])
      var sum = 0.0
      for score in scores { sum += exponential(Double(score) - largest) }
      return (naturalLogarithm(sum) + largest, top)
    }
  }

  private static func withRow<T>(_ logits: Tensor, _ row: Int, _ body: (UnsafeBufferPointer<Float>) -> T) -> T {
    let width = logits.shape[2]
    return logits.bytes.withUnsafeBytes {
      body(UnsafeBufferPointer(rebasing: $0.bindMemory(to: Float.self)[row * width..<(row + 1) * width]))
    }
  }

  /// The negative logarithm of a token's probability.
  func surprise(of token: Int) -> Double { Scores.withRow(logits, row) { normalizer - Double($0[token]) } }

  /// The Kullback-Leibler divergence of the other's probabilities from these: the sum of `p · ln(p / q)`, in nats.
  package func divergence(of other: Scores) -> Double {
    Scores.withRow(logits, row) { own in
      Scores.withRow(other.logits, other.row) { others in
        var sum = 0.0
        for k in own.indices {
          let logarithm = Double(own[k]) - normalizer
          let p = exponential(logarithm)
          // What this model rules out counts nothing, whatever the other says.
          if p > 0 { sum += p * (logarithm - (Double(others[k]) - other.normalizer)) }
        }
        // Rounding can leave a little less than nothing.
        return max(sum, 0)
      }
    }
  }
}
