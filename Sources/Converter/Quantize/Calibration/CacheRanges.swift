import Glibc
import Quantization
import Tensors

/// The ranges of the channels of keys or values, [batch, heads, sequence, depth] or [batch, sequence, channels], over
/// sequences.
struct CacheRanges {
  private(set) var least: [Float] = []
  private(set) var greatest: [Float] = []

  init(least: [Float] = [], greatest: [Float] = []) { (self.least, self.greatest) = (least, greatest) }

  /// - Parameter forgets: whether only the last sequence counts, as in msModelSlim's observer.
  mutating func observe(_ tensor: Tensor, forgets: Bool = false) throws {
    // All channels of a token side by side are one head.
    let isFlat = tensor.shape.count == 3
    let (heads, sequence, depth) =
      isFlat ? (1, tensor.shape[1], tensor.shape[2]) : (tensor.shape[1], tensor.shape[2], tensor.shape[3])
    let values = tensor.floats
    if least.isEmpty || forgets {
      least = [Float](repeating: .infinity, count: heads * depth)
      greatest = [Float](repeating: -.infinity, count: heads * depth)
    }
    for batch in 0..<tensor.shape[0] {
      for head in 0..<heads {
        for position in 0..<sequence {
          let base = ((batch * heads + head) * sequence + position) * depth
          for channel in 0..<depth {
            let value = values[base + channel]
            guard value.isFinite else {
              throw BessemerError(.modelInput, "the calibration data leads to NaN or infinity inside the model")
            }
            let place = head * depth + channel
            least[place] = min(least[place], value)
            greatest[place] = max(greatest[place], value)
          }
        }
      }
    }
  }

  func grids(isSymmetric: Bool, dtype: DType) -> [InputGrid] {
    zip(least, greatest).map { InputGrid(least: $0, greatest: $1, isSymmetric: isSymmetric, dtype: dtype) }
  }

  /// The power of the largest magnitude of each channel, the same for both halves of a head, which rotary embedding
  /// mixes. [heads, depth].
  func keyScales(heads: Int, depth: Int, power: Float) -> [Float] {
    let half = depth / 2
    let sizes = zip(least, greatest).map { max(abs($0), abs($1)) }
    return sizes.indices.map { place in
      let (head, channel) = (place / depth, place % depth % half)
      return powf(max(sizes[head * depth + channel], sizes[head * depth + half + channel]), power)
    }
  }
}
