import IR
import Tensors

/// A value that is a part of another: some of the slices along one dimension.
struct Part {
  let source: ValueID
  /// The dimension, from the front.
  let axis: Int
  /// The size of the source along it.
  let size: Int
  let first: Int
  let count: Int
  let step: Int
}

extension Graph {
  /// What a `slice` or one result of a `split` takes of a dimension of known size.
  func part(_ value: ValueID) -> Part? {
    guard let id = producer(of: value) else { return nil }
    let node = self[id]
    switch node.op {
    case let op as Slice:
      let dims = type(of: node.operands[0]).dims
      let axis = op.axis < 0 ? op.axis + dims.count : op.axis
      guard let size = dims[axis].value, let count = type(of: value).dims[axis].value, op.step > 0 else { return nil }
      let first = min(max(op.start < 0 ? op.start + size : op.start, 0), size)
      return Part(source: node.operands[0], axis: axis, size: size, first: first, count: count, step: op.step)
    case let op as Split:
      let dims = type(of: node.operands[0]).dims
      let axis = op.axis < 0 ? op.axis + dims.count : op.axis
      guard let size = dims[axis].value, let index = node.results.firstIndex(of: value) else { return nil }
      let first = op.sizes[..<index].reduce(0, +)
      return Part(source: node.operands[0], axis: axis, size: size, first: first, count: op.sizes[index], step: 1)
    default: return nil
    }
  }

  /// The value whose first and second half along the last dimension are `first` and `second`.
  func halves(_ first: ValueID, _ second: ValueID) -> ValueID? {
    guard let (a, b) = evenParts(first, second), a.step == 1, b.step == 1, a.first == 0, b.first == a.count else {
      return nil
    }
    return a.source
  }

  /// The value whose elements at even and odd places along the last dimension are `even` and `odd`.
  func neighbours(_ even: ValueID, _ odd: ValueID) -> ValueID? {
    guard let (a, b) = evenParts(even, odd), a.step == 2, b.step == 2, a.first == 0, b.first == 1 else { return nil }
    return a.source
  }

  /// Two parts of one value, each half of its last dimension.
  private func evenParts(_ first: ValueID, _ second: ValueID) -> (Part, Part)? {
    guard let a = part(first), let b = part(second), a.source == b.source, a.axis == b.axis,
      a.axis == type(of: a.source).rank - 1, a.size % 2 == 0, a.count == a.size / 2, b.count == a.count
    else { return nil }
    return (a, b)
  }
}
