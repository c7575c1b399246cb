internal import Tensors

/// A `NodeProto`, as far as tensors and names go.
struct ONNXNode {
  private(set) var inputs: [String] = []
  private(set) var outputs: [String] = []
  private(set) var name = ""
  private(set) var operation = ""
  private(set) var domain = ""
  private(set) var attributes: [ONNXAttribute] = []

  /// The name, or the operator of a node without one.
  var title: String { name.isEmpty ? operation : name }

  init(_ message: ByteReader) throws {
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard case .bytes(var content) = value else { continue }
      func text() throws -> String { try content.text(content.remaining, "a name in a node") }
      switch number {
      case 1: inputs.append(try text())
      case 2: outputs.append(try text())
      case 3: name = try text()
      case 4: operation = try text()
      case 5: attributes.append(try ONNXAttribute(content))
      case 7: domain = try text()
      default: break
      }
    }
    guard !operation.isEmpty else { throw BessemerError(.graph, "node \(quoted(name)) has no operator") }
    guard attributes.count < 2 || Set(attributes.map { TensorName($0.name) }).count == attributes.count else {
      throw BessemerError(.duplicateName, "node \(quoted(title)) has an attribute twice")
    }
  }
}

/// An `AttributeProto`: what it holds that may hold tensors.
struct ONNXAttribute {
  private(set) var name = ""
  /// Its place in `AttributeProto.AttributeType`; 0 when the file does not say.
  private(set) var type = 0
  private(set) var tensors: [ByteReader] = []
  private(set) var graphs: [ByteReader] = []
  private(set) var sparseTensors: [ByteReader] = []

  /// The fields of the types, by number: FLOAT, INT, STRING, TENSOR, GRAPH, their lists, SPARSE_TENSOR and its list,
  /// TYPE_PROTO and its list.
  private static let fields = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 22, 23, 14, 15]

  init(_ message: ByteReader) throws {
    var isReference = false
    var present: Set<Int> = []
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      if number == 20, case .varint(let value) = value { type = Int(truncatingIfNeeded: value) }
      if number > 1, ONNXAttribute.fields.contains(number) { present.insert(number) }
      guard case .bytes(var content) = value else { continue }
      switch number {
      case 1: name = try content.text(content.remaining, "the name of an attribute")
      case 5, 10: tensors.append(content)
      case 6, 11: graphs.append(content)
      case 21: isReference = true
      case 22, 23: sparseTensors.append(content)
      default: break
      }
    }
    guard ONNXAttribute.fields.indices.contains(type) else {
      throw BessemerError(.graph, "attribute \(quoted(name)) is of the unknown type \(type)")
    }
    // Files of the first versions name no type. Zeros and empty lists may be left out; tensors and graphs may not.
    let isMissing = [4, 5, 11].contains(type) && present.isEmpty && !isReference
    guard !isMissing, type == 0 || present.subtracting([ONNXAttribute.fields[type]]).isEmpty else {
      throw BessemerError(.graph, "attribute \(quoted(name)) does not hold what its type says")
    }
  }
}

/// A `FunctionProto`: nodes under a name that other nodes use as an operator.
struct ONNXFunction {
  private(set) var inputs: [String] = []
  private(set) var nodes: [ByteReader] = []
  private var name = ""
  private var domain = ""
  private var overload = ""

  /// What nodes call it by.
  var callName: String { domain + "." + name }

  var title: String { callName + (overload.isEmpty ? "" : ":" + overload) }

  init(_ message: ByteReader) throws {
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard case .bytes(var content) = value else { continue }
      func text() throws -> String { try content.text(content.remaining, "a name in a function") }
      switch number {
      case 1: name = try text()
      case 4: inputs.append(try text())
      case 7: nodes.append(content)
      case 10: domain = try text()
      case 13: overload = try text()
      default: break
      }
    }
  }

  /// Functions that call each other.
  static let maximumDepth = 100
  /// Nodes that all functions become when each call is replaced by what it calls.
  static let maximumNodeCount = 1_000_000

  /// Throws ``ErrorCode/graph`` when functions call themselves, and ``ErrorCode/limit`` when they call each other too
  /// deeply, or so often that they stand for too many nodes.
  static func check(_ functions: [ONNXFunction]) throws {
    var places: [TensorName: Int] = [:]
    for (place, function) in functions.enumerated() {
      guard places.updateValue(place, forKey: TensorName(function.title)) == nil else {
        throw BessemerError(.duplicateName, "function \(quoted(function.title)) occurs twice")
      }
    }
    let calls = try functions.map { function in
      try function.nodes.map { try ONNXNode($0) }.compactMap { places[TensorName($0.domain + "." + $0.operation)] }
    }
    var sizes = [Int?](repeating: nil, count: functions.count)
    func size(_ place: Int, _ depth: Int) throws -> Int {
      if let known = sizes[place] { return known }
      guard depth < maximumDepth else {
        throw BessemerError(.limit, "functions call each other more than \(maximumDepth) deep, or call themselves")
      }
      var sum = functions[place].nodes.count
      for call in calls[place] {
        sum += try size(call, depth + 1)
        guard sum <= maximumNodeCount else {
          throw BessemerError(.limit, "functions stand for more than \(maximumNodeCount) nodes")
        }
      }
      sizes[place] = sum
      return sum
    }
    for place in functions.indices { _ = try size(place, 0) }
  }
}
