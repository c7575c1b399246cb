import Tensors

/// Tensors by what their elements come to, for finding those that hold the same, in whatever order.
struct ContentIndex {
  /// Elements of a type: how many, and their fingerprint.
  struct Key: Hashable {
    let dtype: DType
    let elementCount: Int
    let fingerprint: Fingerprint
  }

  private(set) var places: [Key: [Int]] = [:]
  /// By type, the numbers of elements that tensors have, in rising order.
  private(set) var sizes: [DType: [Int]] = [:]

  init() {}

  /// The tensors as each of the types of `types`, by their number.
  init(_ entries: [TensorStore.Entry], _ types: [[DType]], _ scan: TensorScan) throws {
    for (index, sums) in try scan.fingerprints(entries, as: types).enumerated() {
      let count = Tensor.elementCount(of: entries[index].shape) ?? 0
      guard count > 0 else { continue }
      for (dtype, sum) in sums { add(Key(dtype: dtype, elementCount: count, fingerprint: sum), index) }
    }
    for dtype in sizes.keys { sizes[dtype] = Set(sizes[dtype] ?? []).sorted() }
  }

  private mutating func add(_ key: Key, _ index: Int) {
    places[key, default: []].append(index)
    sizes[key.dtype, default: []].append(key.elementCount)
  }

  subscript(dtype: DType, elementCount: Int, fingerprint: Fingerprint) -> [Int] {
    places[Key(dtype: dtype, elementCount: elementCount, fingerprint: fingerprint)] ?? []
  }

  /// Runs of slices along an axis that hold what a tensor holds.
  struct Run {
    let axis: Int
    let first: Int
    let count: Int
    let key: Key
  }

  /// The runs along one axis of a tensor that are shorter than the whole, by their first slice.
  func runs(_ slices: SliceFingerprints, axis: Int, dtype: DType, elementCount: Int) -> [[Run]] {
    let sums = slices.sums(axis)
    let extent = sums.count - 1
    var runs: [[Run]] = Array(repeating: [], count: extent)
    guard extent > 1 else { return runs }
    let sliceCount = elementCount / extent
    for size in sizes[dtype] ?? [] where size % sliceCount == 0 && size < elementCount {
      let length = size / sliceCount
      for first in 0...(extent - length) {
        let key = Key(dtype: dtype, elementCount: size, fingerprint: sums[first + length] - sums[first])
        if places[key] != nil { runs[first].append(Run(axis: axis, first: first, count: length, key: key)) }
      }
    }
    return runs
  }
}
