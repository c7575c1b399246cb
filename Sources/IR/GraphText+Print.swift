import Tensors

/// The text form of a graph: what a bundle stores, what fixtures are written in, what `graph print` shows.
///
/// ```
/// graph "mlp" {
///   input %0 "x" : f32[batch,4]
///   input %1 "mask" : i64[batch,past+sequence] = ones
///   state %2 "layers.0.key" : f32[batch,2,past,32] {axis=2, capacity=512}
///   %3 = weight {name="w", dtype="bf16", shape=[4,8]} : bf16[4,8]
///   %4 = matmul(%0, %3) : f32[batch,8] "where it comes from"
///   update "layers.0.key" = %7
///   output "logits" = %4
/// }
/// ```
extension Graph {
  /// The text, with values numbered in order; equal graphs print equal text. ``sortTopologically()`` must have been
  /// called.
  public var text: String {
    var printer = Printer(graph: self)
    return printer.print()
  }
}

private struct Printer {
  let graph: Graph
  var numbers: [Int32]
  var next: Int32 = 0
  var bytes: [UInt8] = []
  var opTexts: [OpKey: [UInt8]] = [:]

  init(graph: Graph) {
    self.graph = graph
    numbers = [Int32](repeating: -1, count: graph.valueCount)
    bytes.reserveCapacity(graph.nodeCount * 64)
  }

  mutating func print() -> String {
    put("graph ")
    put(attributeText(.string(graph.name)))
    put(" {\n")
    for input in graph.inputs {
      put("  input ")
      define(input.value)
      put(" " + attributeText(.string(input.name)) + " : ")
      putType(graph.type(of: input.value))
      if let initial = input.initial { put(" = " + initial.rawValue) }
      put("\n")
    }
    for state in graph.states {
      put("  state ")
      define(state.value)
      put(" " + attributeText(.string(state.name)) + " : ")
      putType(graph.type(of: state.value))
      put(" {axis=\(state.axis), capacity=\(state.capacity)}\n")
    }
    for id in graph.nodeIDs { putNode(graph[id]) }
    for state in graph.states where state.update != state.value {
      put("  update " + attributeText(.string(state.name)) + " = ")
      putValue(state.update)
      put("\n")
    }
    for output in graph.outputs {
      put("  output " + attributeText(.string(output.name)) + " = ")
      putValue(output.value)
      put("\n")
    }
    put("}\n")
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func putNode(_ node: Node) {
    put("  ")
    for (k, result) in node.results.enumerated() {
      if k > 0 { put(", ") }
      define(result)
    }
    put(" = ")
    put(Swift.type(of: node.op).schema.name)
    putOperands(node.operands)
    putAttributes(node.op)
    put(" : ")
    for (k, result) in node.results.enumerated() {
      if k > 0 { put(", ") }
      putType(graph.type(of: result))
    }
    if !node.name.isEmpty {
      put(" ")
      put(quotedText(node.name))
    }
    put("\n")
  }

  private mutating func putAttributes(_ op: any Op) {
    if op.hasNoAttributes { return }
    // No two weights are alike.
    if op is Weight { return put(op.attributesText) }
    let key = OpKey(op)
    if let text = opTexts[key] {
      bytes += text
    } else {
      let text = Array(op.attributesText.utf8)
      opTexts[key] = text
      bytes += text
    }
  }

  private mutating func putOperands(_ operands: [ValueID]) {
    guard !operands.isEmpty else { return }
    put("(")
    for (k, operand) in operands.enumerated() {
      if k > 0 { put(", ") }
      putValue(operand)
    }
    put(")")
  }

  private mutating func putType(_ type: TensorType) {
    put(type.dtype.rawValue)
    for (k, dim) in type.dims.enumerated() {
      bytes.append(k == 0 ? UInt8(ascii: "[") : UInt8(ascii: ","))
      switch dim {
      case .known(let n): put(n)
      case .symbol(let name): put(name)
      }
    }
    put(type.dims.isEmpty ? "[]" : "]")
  }

  private mutating func define(_ value: ValueID) {
    numbers[value.ordinal] = next
    next += 1
    putValue(value)
  }

  private mutating func putValue(_ value: ValueID) {
    bytes.append(UInt8(ascii: "%"))
    put(Int(numbers[value.ordinal]))
  }

  private mutating func put(_ number: Int) {
    guard number >= 0 else { return put(String(number)) }
    let start = bytes.count
    var rest = number
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    bytes[start...].reverse()
  }

  private mutating func put(_ text: String) { bytes += text.utf8 }
}

extension Op {
  /// ` {axis=1, epsilon=1e-05}` in alphabetical order, or nothing.
  var attributesText: String {
    let attributes = attributes
    guard !attributes.isEmpty else { return "" }
    let list = attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\(attributeText($0.value))" }
    return " {" + list.joined(separator: ", ") + "}"
  }
}

/// An attribute as it stands in text.
func attributeText(_ value: Attribute) -> String {
  switch value {
  case .int(let x): return String(x)
  case .float(let x): return floatText(x)
  case .bool(let x): return x ? "true" : "false"
  case .string(let x): return quotedText(x)
  case .ints(let x): return "[" + x.map { String($0) }.joined(separator: ",") + "]"
  case .floats(let x): return "[" + x.map(floatText).joined(separator: ",") + "]"
  case .tensor(let x): return tensorText(x)
  }
}

/// The shortest text that reads back as the same double; always with a point, an exponent, `inf` or `nan`.
private func floatText(_ x: Double) -> String { x.description }

/// `f32[2](1.0,2.0)`, values that read back exactly; NaNs keep their bits as `0x…`.
private func tensorText(_ x: Tensor) -> String {
  let values: [String]
  if x.dtype.isInteger || x.dtype == .bool {
    values = x.dtype == .uint64 ? x.integers.map { String(UInt64(bitPattern: $0)) } : x.integers.map { String($0) }
  } else if x.dtype.isFloat, x.doubles.allSatisfy({ !$0.isNaN }) {
    values = x.dtype == .float32 ? x.floats.map { $0.description } : x.doubles.map(floatText)
  } else {
    let digits = Array("0123456789abcdef")
    let hex = x.bytes.array.map { String([digits[Int($0 >> 4)], digits[Int($0 & 15)]]) }.joined()
    return x.type.description + "(0x" + hex + ")"
  }
  return x.type.description + "(" + values.joined(separator: ",") + ")"
}

/// A string between quotes with `"`, `\` and control characters escaped.
func quotedText(_ text: String) -> String {
  if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
    return "\"" + text + "\""
  }
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case _ where scalar.value < 0x20 || scalar.value == 0x7F: result += "\\u{" + String(scalar.value, radix: 16) + "}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
