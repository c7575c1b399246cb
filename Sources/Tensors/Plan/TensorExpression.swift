/// A tensor computed from tensors of a checkpoint by moving and casting elements: what a conversion writes.
///
/// Making one reads no byte. Writing evaluates it piece by piece: elements that lie as they are written go by windows
/// of their files, all others through memory that does not depend on the tensor's size. Negative axes count from the
/// end. Every function throws ``ErrorCode/tensorLayout`` when shapes do not fit.
public struct TensorExpression: Sendable {
  let plan: TensorPlan<TensorStore.Entry>
  /// What was done to the sources, one word or phrase each, in order: `transpose [1,0]`.
  public let steps: [String]

  /// A tensor as it is; of one that is computed what computes it.
  public init(_ entry: TensorStore.Entry) {
    self = entry.expression ?? TensorExpression(plan: TensorPlan(entry, entry.dtype, shape: entry.shape), steps: [])
  }

  private init(plan: TensorPlan<TensorStore.Entry>, steps: [String]) {
    self.plan = plan
    self.steps = steps
  }

  public var dtype: DType { plan.dtype }
  public var shape: [Int] { plan.shape }
  public var type: TensorType { TensorType(dtype, shape: shape) }
  /// The bytes that the tensor takes; nil when a last byte would not be full.
  public var byteCount: Int? { Tensor.byteCount(dtype, shape: shape) }
  /// The tensors that it comes from, each as often as it occurs.
  public var sources: [TensorStore.Entry] { plan.sources }

  /// Whether elements are cast.
  public var isCast: Bool { plan.isCast }

  /// The tensor itself when nothing is done to its elements; its shape may differ.
  public var identity: TensorStore.Entry? {
    guard case .view(let entry, let view) = plan.unshaped, view.isContiguous,
      view.elementCount == Tensor.elementCount(of: entry.shape)
    else { return nil }
    return entry
  }

  /// The same elements in row-major order under another shape; one dimension may be -1, which is what is left.
  public func reshaped(_ wanted: [Int]) throws -> TensorExpression {
    var target = wanted
    let count = plan.elementCount
    if let open = target.firstIndex(of: -1) {
      target.remove(at: open)
      let rest = Tensor.elementCount(of: target) ?? 0
      guard !target.contains(-1), rest > 0, count % rest == 0 else { throw misfit("cannot be reshaped to \(wanted)") }
      target.insert(count / rest, at: open)
    }
    guard Tensor.elementCount(of: target) == count else { throw misfit("cannot be reshaped to \(wanted)") }
    return target == shape ? self : TensorExpression(plan: plan.reshaped(target), steps: steps + ["reshape \(target)"])
  }

  /// Dimension `k` of the result is dimension `axes[k]` of the tensor; without axes all are reversed.
  public func transposed(_ axes: [Int]? = nil) throws -> TensorExpression {
    let order = try (axes ?? shape.indices.reversed()).map { try axis($0) }
    guard order.sorted() == Array(shape.indices) else { throw misfit("has no order of axes \(axes ?? [])") }
    if order == Array(shape.indices) { return self }
    let source = StridedView.canMove(dtype, rank: shape.count) ? self : try ofLowRank()
    let turned = try source.plan.transposed(order) ?? source.evaluated().transposed(order)
    guard let turned else { throw misfit("cannot be transposed") }
    return TensorExpression(plan: turned, steps: steps + ["transpose \(order)"])
  }

  /// `count` slices along an axis, each `step` from the one before.
  public func sliced(axis: Int, first: Int, count: Int, step: Int = 1) throws -> TensorExpression {
    let axis = try self.axis(axis)
    let (reach, overflow) = max(count - 1, 0).multipliedReportingOverflow(by: step)
    let (last, far) = first.addingReportingOverflow(reach)
    let range = 0..<shape[axis]
    guard count >= 0, step != 0, !overflow, !far, count == 0 || range.contains(first) && range.contains(last) else {
      throw misfit("has no \(count) slices from \(first) on by \(step) along axis \(axis)")
    }
    if count == shape[axis], step == 1 { return self }
    let cut =
      try plan.sliced(axis: axis, first: first, step: step, count: count)
      ?? evaluated().sliced(axis: axis, first: first, step: step, count: count)
    guard let cut else { throw misfit("cannot be sliced") }
    let words = "slice [\(first):\(first + count)\(step == 1 ? "" : " by \(step)")] of axis \(axis)"
    return TensorExpression(plan: cut, steps: steps + [words])
  }

  /// Parts that a tensor is split into.
  public static let maximumPartCount = 1 << 16

  /// Parts of these sizes along an axis, which they fill.
  public func split(axis: Int, sizes: [Int]) throws -> [TensorExpression] {
    let axis = try self.axis(axis)
    guard sizes.count <= TensorExpression.maximumPartCount else {
      throw BessemerError(.limit, "\(sizes.count) parts, at most \(TensorExpression.maximumPartCount) are made")
    }
    guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, { $0 &+ $1 }) == shape[axis] else {
      throw misfit("cannot be split into \(sizes) along axis \(axis)")
    }
    var first = 0
    return try sizes.map { size in
      defer { first += size }
      return try sliced(axis: axis, first: first, count: size)
    }
  }

  /// `count` parts of the same size along an axis.
  public func split(axis: Int, into count: Int) throws -> [TensorExpression] {
    let length = shape[try self.axis(axis)]
    guard count > 0, count <= TensorExpression.maximumPartCount, length % count == 0 else {
      throw misfit("cannot be split into \(count) along axis \(axis)")
    }
    return try split(axis: axis, sizes: Array(repeating: length / count, count: count))
  }

  /// Tensors one after the other along an axis; they agree in type and all other dimensions.
  public static func concat(_ parts: [TensorExpression], axis: Int) throws -> TensorExpression {
    guard let first = parts.first else { throw BessemerError(.tensorLayout, "nothing to concatenate") }
    let axis = try first.axis(axis)
    var shape = first.shape
    shape[axis] = 0
    for part in parts {
      var (a, b) = (part.shape, first.shape)
      guard a.count == b.count, part.dtype == first.dtype else {
        throw first.misfit("cannot be concatenated with \(part.type)")
      }
      shape[axis] += a[axis]
      (a[axis], b[axis]) = (0, 0)
      guard a == b else { throw first.misfit("cannot be concatenated with \(part.type) along axis \(axis)") }
    }
    guard Tensor.elementCount(of: shape) != nil else { throw first.misfit("cannot be concatenated: too large") }
    if parts.count == 1 { return first }
    let plan = TensorPlan.concat(parts.map(\.plan), axis: axis, dtype: first.dtype, shape: shape)
    return TensorExpression(plan: plan, steps: first.steps + ["concat of \(parts.count) along axis \(axis)"])
  }

  /// Tensors of one type and shape along a new axis.
  public static func stack(_ parts: [TensorExpression], axis: Int) throws -> TensorExpression {
    guard let first = parts.first else { throw BessemerError(.tensorLayout, "nothing to stack") }
    let axis = axis < 0 ? axis + first.shape.count + 1 : axis
    guard (0...first.shape.count).contains(axis) else { throw first.misfit("has no place for axis \(axis)") }
    guard let odd = parts.first(where: { $0.type != first.type }) else {
      var shape = first.shape
      shape.insert(1, at: axis)
      return try concat(parts.map { try $0.reshaped(shape) }, axis: axis)
    }
    throw first.misfit("cannot be stacked with \(odd.type)")
  }

  /// The slices along an axis, which they lose.
  public func unstacked(axis: Int) throws -> [TensorExpression] {
    let axis = try self.axis(axis)
    var rest = shape
    rest.remove(at: axis)
    return try split(axis: axis, into: shape[axis]).map { try $0.reshaped(rest) }
  }

  /// The rows of each of `heads` blocks in turns: one of the first half, one of the second half, and so on.
  public func interleavedHalves(heads: Int) throws -> TensorExpression { try halves(heads, [2, -1]) }

  /// The rows of each of `heads` blocks as two halves: every second one, then the others. The inverse of
  /// ``interleavedHalves(heads:)``.
  public func deinterleavedHalves(heads: Int) throws -> TensorExpression { try halves(heads, [-1, 2]) }

  private func halves(_ heads: Int, _ rows: [Int]) throws -> TensorExpression {
    guard let count = shape.first, heads > 0, count % heads == 0, count / heads % 2 == 0 else {
      throw misfit("has no \(heads) blocks of an even number of rows")
    }
    let half = count / heads / 2
    let blocks = [heads] + rows.map { $0 < 0 ? half : $0 } + [elementsOfRow]
    let turned = try reshaped(blocks).transposed([0, 2, 1, 3]).reshaped(shape)
    let words = rows[0] == 2 ? "interleave" : "deinterleave"
    return TensorExpression(plan: turned.plan, steps: steps + ["\(words) \(heads) heads"])
  }

  /// Elements of a slice along the first axis.
  private var elementsOfRow: Int { shape.dropFirst().reduce(1, *) }

  /// Each element converted, see ``Tensor/cast(to:)``.
  public func cast(to dtype: DType) throws -> TensorExpression {
    if dtype == self.dtype { return self }
    guard !dtype.isComplex, !self.dtype.isComplex, Tensor.byteCount(dtype, shape: shape) != nil else {
      throw BessemerError(.unsupportedType, "\(type) does not become \(dtype.longName)")
    }
    return TensorExpression(plan: plan.cast(to: dtype), steps: steps + ["cast \(self.dtype) to \(dtype)"])
  }

  /// Gives the bytes in row-major order to `body`, one piece at a time, see ``TensorEvaluator``.
  @discardableResult
  public func forEachPiece(_ body: (Bytes) throws -> Void) throws -> CastLosses {
    try TensorEvaluator().forEachPiece(self, body)
  }

  private func axis(_ axis: Int) throws -> Int {
    let own = axis < 0 ? axis + shape.count : axis
    guard shape.indices.contains(own) else { throw misfit("has no axis \(axis)") }
    return own
  }

  private func misfit(_ what: String) -> BessemerError { BessemerError(.tensorLayout, "\(type) \(what)") }

  /// The result as a tensor of its own, for what no plan can say of it.
  private func evaluated() throws -> TensorPlan<TensorStore.Entry> {
    guard byteCount != nil else { throw misfit("takes no whole number of bytes") }
    let whole = self
    let entry = TensorStore.Entry(
      plan.sources.first?.name ?? "", dtype, shape: shape, file: plan.sources.first?.file ?? ""
    ) { body in try whole.forEachPiece { try body($0) } }
    return TensorPlan(entry, dtype, shape: shape)
  }

  /// Refuses what kernels cannot move.
  private func ofLowRank() throws -> TensorExpression {
    throw BessemerError(.limit, "\(type) has more than \(StridedView.maximumRank) dimensions to transpose")
  }
}
