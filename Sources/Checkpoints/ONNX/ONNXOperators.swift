internal import Tensors

/// The operators that nodes may name: those of ONNX, of a few other domains, and the functions of the model. Nodes are
/// checked against what all versions of an operator have in common: the number of inputs and outputs, the types of
/// attributes, and element types as far as they are known.
struct ONNXOperators {
  /// An operator of ONNX.
  private struct Operator {
    let inputs: Row
    let outputs: Row
    /// The signs of the types that an attribute may have.
    let attributes: [Substring: Substring]
  }

  /// Inputs or outputs: each a sign of its element type; of the last there may be many.
  private struct Row {
    let minimum: Int
    let signs: [UInt8]
    let isOpen: Bool

    init(_ word: Substring) {
      minimum = word.first?.wholeNumberValue ?? 0
      isOpen = word.last == "*"
      signs = Array(word.dropFirst().utf8.filter { $0 != UInt8(ascii: "*") })
    }

    func allows(_ count: Int) -> Bool { count >= minimum && (isOpen || count <= signs.count) }

    func sign(_ place: Int) -> UInt8 { signs[min(place, signs.count - 1)] }

    var text: String {
      isOpen ? "at least \(minimum)" : minimum == signs.count ? "\(minimum)" : "\(minimum) to \(signs.count)"
    }
  }

  /// Domains of operators that ONNX and ONNX Runtime define; what they take is not looked at.
  private static let domains: Set<String> = [
    "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training", "com.microsoft",
    "com.microsoft.experimental", "com.microsoft.nchwc", "com.ms.internal.nhwc",
  ]
  /// The element types that places have, by their signs.
  private static let types: [UInt8: Int] = [
    UInt8(ascii: "b"): 9, UInt8(ascii: "d"): 11, UInt8(ascii: "f"): 1, UInt8(ascii: "i"): 6, UInt8(ascii: "l"): 7,
    UInt8(ascii: "s"): 8, UInt8(ascii: "u"): 2,
  ]
  /// The signs of the types of attributes, in the order of `AttributeProto.AttributeType`.
  private static let attributeSigns = Array(".fistgFISTGpPoO")

  private static let known: [Substring: Operator] = {
    var known: [Substring: Operator] = [:]
    for line in table.split(separator: "\n") {
      let words = line.split(separator: " ")
      var attributes: [Substring: Substring] = [:]
      for word in words[3...] {
        let parts = word.split(separator: ":")
        attributes[parts[0]] = parts[1]
      }
      known[words[0]] = Operator(inputs: Row(words[1]), outputs: Row(words[2]), attributes: attributes)
    }
    return known
  }()

  private let functions: Set<TensorName>

  init(functions: [ONNXFunction]) { self.functions = Set(functions.map { TensorName($0.callName) }) }

  /// The element types of a node's outputs, 0 for those that are not known, from those of its inputs.
  ///
  /// Throws ``ErrorCode/unsupportedFeature`` for an operator that is not known, ``ErrorCode/graph`` for a node that
  /// does not fit its operator.
  func outputTypes(_ node: ONNXNode, inputTypes: [Int]) throws -> [Int] {
    let unknown = [Int](repeating: 0, count: node.outputs.count)
    if functions.contains(TensorName(node.domain + "." + node.operation)) { return unknown }
    guard ["", "ai.onnx"].contains(node.domain) else {
      if ONNXOperators.domains.contains(node.domain) { return unknown }
      throw BessemerError(
        .unsupportedFeature,
        "node \(quoted(node.title)) is a \(quoted(node.operation)) of the domain \(quoted(node.domain)), which is "
          + "neither ONNX's nor ONNX Runtime's")
    }
    guard let operation = ONNXOperators.known[Substring(node.operation)] else {
      throw BessemerError(
        .unsupportedFeature, "node \(quoted(node.title)) is a \(quoted(node.operation)), which is no operator of ONNX")
    }
    func check(_ row: Row, _ count: Int, _ what: String) throws {
      guard row.allows(count) else {
        throw BessemerError(.graph, "node \(quoted(node.title)) has \(count) \(what), expected \(row.text)")
      }
    }
    try check(operation.inputs, node.inputs.count, "inputs")
    try check(operation.outputs, node.outputs.count, "outputs")
    for attribute in node.attributes where attribute.type != 0 {
      guard let signs = operation.attributes[Substring(attribute.name)] else { continue }
      guard signs.contains(ONNXOperators.attributeSigns[attribute.type]) else {
        throw BessemerError(
          .graph,
          "attribute \(quoted(attribute.name)) of node \(quoted(node.title)) is of another type than "
            + "\(node.operation) has it")
      }
    }
    var bound = ONNXOperators.types
    for (place, type) in inputTypes.enumerated() where type != 0 {
      let sign = operation.inputs.sign(place)
      guard sign != UInt8(ascii: "."), bound.updateValue(type, forKey: sign) ?? type != type else { continue }
      throw BessemerError(
        .graph,
        "input \(quoted(node.inputs[place])) of node \(quoted(node.title)) is of another element type than "
          + "\(node.operation) takes there")
    }
    return node.outputs.indices.map { bound[operation.outputs.sign($0)] ?? 0 }
  }
}
