import IR
import Tensors

/// A shape of computation to look for: an expression over operators, captured values and numbers.
///
/// Commutative operators match either way round. Written with the usual signs: `x * rsqrt(mean(x * x) +
/// number("eps"))`.
indirect enum Pattern: Sendable {
  /// Any value, captured; the same name must be the same value wherever it stands.
  case value(String)
  /// A value computed from weights and constants alone, captured.
  case parameter(String)
  /// A scalar constant, captured.
  case number(String)
  /// A scalar constant equal to this one up to the rounding of the constant's type.
  case exactly(Double)
  /// A node whose operator fulfils a condition.
  case node(any Op.Type, @Sendable (any Op) -> Bool, [Pattern])
  /// The pattern itself, or a cast of it.
  case maybeCast(Pattern)
  /// The first of these that matches.
  case either([Pattern])
  /// The pattern, its value captured.
  case captured(String, Pattern)

  static func op(_ type: any Op.Type, _ operands: Pattern...) -> Pattern { .node(type, { _ in true }, operands) }

  static func + (a: Pattern, b: Pattern) -> Pattern { .op(Add.self, a, b) }
  static func - (a: Pattern, b: Pattern) -> Pattern { .op(Subtract.self, a, b) }
  static func * (a: Pattern, b: Pattern) -> Pattern { .op(Multiply.self, a, b) }
  static func / (a: Pattern, b: Pattern) -> Pattern { .op(Divide.self, a, b) }
}

/// What a pattern stood for in a graph.
struct Match {
  var values: [String: ValueID] = [:]
  var numbers: [String: Double] = [:]
  /// The nodes of the pattern, the root first.
  var nodes: [NodeID] = []
  /// Values between the nodes of the pattern.
  var interior: [ValueID] = []

  subscript(name: String) -> ValueID { values[name]! }
}

extension Graph {
  /// Matches `pattern` against the computation of `value`.
  func match(_ pattern: Pattern, _ value: ValueID) -> Match? {
    var match = Match()
    guard find(pattern, value, &match) else { return nil }
    // Captured leaves belong to their makers, not to the pattern.
    let inside = Set(match.nodes)
    match.interior.removeAll { producer(of: $0).map { !inside.contains($0) } ?? true }
    return match
  }

  /// Whether everything between root and leaves of the match is read by the match alone.
  func isPrivate(_ match: Match) -> Bool {
    let inside = Set(match.nodes)
    return match.interior.allSatisfy { !isRoot($0) && users(of: $0).allSatisfy(inside.contains) }
  }

  private func find(_ pattern: Pattern, _ value: ValueID, _ match: inout Match) -> Bool {
    switch pattern {
    case .value(let name):
      return bind(name, value, &match)
    case .parameter(let name):
      return isParameter(value) && bind(name, value, &match)
    case .number(let name):
      guard let number = scalarConstant(value)?.number else { return false }
      if let known = match.numbers[name] { return known == number }
      match.numbers[name] = number
      return true
    case .exactly(let expected):
      guard let (number, dtype) = scalarConstant(value) else { return false }
      let tolerance = dtype == .bfloat16 ? 4e-3 : dtype == .float16 ? 5e-4 : 1e-5
      return abs(number - expected) <= tolerance * abs(expected)
    case .maybeCast(let inner):
      let saved = match
      if find(inner, value, &match) { return true }
      match = saved
      guard let (node, _) = producer(of: value, as: Cast.self) else { return false }
      match.nodes.append(producer(of: value)!)
      match.interior.append(node.operands[0])
      if find(inner, node.operands[0], &match) { return true }
      match = saved
      return false
    case .either(let list):
      for inner in list {
        let saved = match
        if find(inner, value, &match) { return true }
        match = saved
      }
      return false
    case .captured(let name, let inner):
      return bind(name, value, &match) && find(inner, value, &match)
    case .node(let type, let condition, let operands):
      return findNode(type, condition, operands, value, &match)
    }
  }

  private func findNode(
    _ type: any Op.Type, _ condition: (any Op) -> Bool, _ operands: [Pattern], _ value: ValueID, _ match: inout Match
  ) -> Bool {
    guard let id = producer(of: value), kind(of: id) == ObjectIdentifier(type) else { return false }
    let node = self[id]
    guard node.operands.count == operands.count, condition(node.op) else { return false }
    let saved = match
    match.nodes.append(id)
    match.interior += node.operands.filter { producer(of: $0) != nil }
    var orders = [Array(operands.indices)]
    if operands.count == 2, type.schema.traits.contains(.commutative) { orders.append([1, 0]) }
    let entered = match
    for order in orders {
      if zip(order, node.operands).allSatisfy({ find(operands[$0], $1, &match) }) {
        return true
      }
      match = entered
    }
    match = saved
    return false
  }

  private func bind(_ name: String, _ value: ValueID, _ match: inout Match) -> Bool {
    if let known = match.values[name] { return known == value }
    match.values[name] = value
    return true
  }

  /// The value of a constant with one element, and the type it is stored in. A float32 is given as the shortest decimal
  /// that rounds to it, the number that was meant.
  func scalarConstant(_ value: ValueID) -> (number: Double, dtype: DType)? {
    if let (_, op) = producer(of: value, as: Constant.self) {
      let tensor = op.value.tensor
      guard tensor.elementCount == 1, tensor.dtype.isFloat || tensor.dtype.isInteger else { return nil }
      let number = tensor.doubles[0]
      guard tensor.dtype == .float32, number.isFinite else { return (number, tensor.dtype) }
      return (Double(Float(number).description) ?? number, .float32)
    }
    guard let (node, op) = producer(of: value, as: Cast.self), op.to.isFloat else { return nil }
    return scalarConstant(node.operands[0])
  }

  /// Whether a value depends on weights and constants alone. Looks no deeper than a layout of a weight needs.
  func isParameter(_ value: ValueID, depth: Int = 8) -> Bool {
    guard depth > 0, let id = producer(of: value) else { return false }
    let node = self[id]
    if node.op is Weight || node.op is Constant { return true }
    switch node.op {
    case is Cast, is Transpose, is Reshape, is Concat, is Slice, is Squeeze, is Unsqueeze, is Expand, is Dequantize,
      is QuantizedWeight:
      return node.operands.allSatisfy { isParameter($0, depth: depth - 1) }
    default: return false
    }
  }
}

// MARK: - Words for patterns

func mean(_ x: Pattern) -> Pattern {
  .node(ReduceMean.self, { op in (op as? ReduceMean).map { $0.keepDims && $0.axes.count == 1 } ?? false }, [x])
}
func squared(_ x: Pattern) -> Pattern { .either([x * x, .op(Power.self, x, .exactly(2))]) }
/// `x / sqrt(y)` in either spelling.
func normalized(_ x: Pattern, _ y: Pattern) -> Pattern {
  .either([
    x * .op(Rsqrt.self, y), x / .op(Sqrt.self, y), x * .op(Reciprocal.self, .op(Sqrt.self, y)),
    x * (.exactly(1) / .op(Sqrt.self, y)),
  ])
}
