import CKernels
import IR
import Tensors

/// How far a cache is filled: what the steps that fill and read it take their places from when they run, so that they
/// need not be planned anew as it grows.
final class CacheExtent {
  let memory: HeapMemory
  /// Entries before the run, and after it.
  var (past, total): (Int, Int)

  init(_ buffer: StateBuffer, adding added: Int) {
    memory = buffer.memory
    (past, total) = (buffer.count, buffer.count + added)
  }
}

/// The memory of a state: room for `capacity` entries along the axis that grows, filled up to `count`.
struct StateBuffer {
  let memory: HeapMemory
  let dtype: DType
  /// The shape with `capacity` along the axis.
  let shape: [Int]
  let axis: Int
  var count: Int

  init(_ dtype: DType, shape: [Int], axis: Int, capacity: Int) throws {
    guard dtype.isMovable else { throw BessemerError(.unsupportedFeature, "a state of \(dtype) does not run") }
    var full = shape
    full[axis] = capacity
    guard let bytes = Tensor.byteCount(dtype, shape: full), let memory = HeapMemory(checkedByteCount: bytes) else {
      throw BessemerError(.memory, "cannot allocate a state of \(dtype)\(full)")
    }
    self.memory = memory
    self.dtype = dtype
    self.shape = full
    self.axis = axis
    count = 0
  }

  var capacity: Int { shape[axis] }

  /// The entries so far.
  var filled: View { window(0, count) }

  /// The entries with `added` new ones behind them, and the new ones alone.
  func appending(_ added: Int) -> (full: View, fresh: View) { (window(0, count + added), window(count, added)) }

  /// Room for `added` entries at the beginning.
  func first(_ added: Int) -> View { window(0, added) }

  private func window(_ start: Int, _ count: Int) -> View {
    View(.fixed(memory.base), dtype, shape: shape).sliced(axis, from: start, count: count)
  }

  /// The same entries in a buffer of another capacity.
  func resized(capacity: Int) throws -> StateBuffer {
    var result = try StateBuffer(dtype, shape: shape, axis: axis, capacity: capacity)
    result.count = count
    let (source, target) = (filled, result.filled)
    guard source.elementCount > 0, case .fixed(let from) = source.location, case .fixed(let to) = target.location else {
      return result
    }
    let (shape, fromStrides, toStrides) = View.merged(source, target)
    try check(bk_copy(nil, Int32(source.elementSize), Int32(shape.count), shape, to, toStrides, from, fromStrides))
    return result
  }
}
