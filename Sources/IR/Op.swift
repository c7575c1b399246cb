public import Tensors

/// An operator with its attributes: what a node computes. One operator is one file under `Ops/`.
///
/// Attributes are the stored properties; Codable is how they get in and out of text, Hashable how equal nodes are
/// found. ``infer(_:)`` is the only verifier: each constraint has a label, `NAME_cN`, written `- Cn:` in the doc
/// comment.
public protocol Op: Sendable, Codable, Hashable {
  static var schema: OpSchema { get }
  /// Values of attributes that text may leave out.
  static var defaults: Attributes { get }
  /// The attributes that differ from the defaults; derived from Codable unless the operator says otherwise.
  var attributes: Attributes { get }
  /// The operator with these attributes, defaults filled in. Attributes it does not know are an error.
  init(attributes: Attributes) throws
  /// The types of the results. Operand count has been checked against the schema. Dimensions may be symbolic.
  func infer(_ operands: [TensorType]) throws(OpError) -> [TensorType]
  /// The readable meaning: computes in double precision and rounds each result once. Operands have passed
  /// ``infer(_:)``.
  func evaluate(_ operands: [Tensor]) throws -> [Tensor]
  /// What one run takes for operands and results of these types, all dimensions known.
  func cost(_ operands: [TensorType], _ results: [TensorType]) -> OpCost
}

extension Op {
  public static var defaults: Attributes { [:] }
  public static var name: String { schema.name }

  /// Whether `other` is the same operator with the same attributes.
  public func isEqual(to other: any Op) -> Bool {
    guard Swift.type(of: other) == Self.self else { return false }
    return hasNoAttributes || (other as? Self) == self
  }

  /// Whether all operators of the type are the same.
  var hasNoAttributes: Bool { MemoryLayout<Self>.size == 0 }
}

/// What does not depend on attributes: an operator's name, its operands and its names elsewhere.
public struct OpSchema: Sendable {
  /// The name in graph text: lower case with underscores; operators of a target carry a prefix, `ascend.RmsNorm`.
  public let name: String
  /// Names of the operands that must be there.
  public let operands: [String]
  /// Names of trailing operands that may be missing.
  public let optionalOperands: [String]
  /// Whether the last operand may repeat.
  public let isVariadic: Bool
  public let traits: Set<Trait>
  public let foreignNames: [ForeignName]

  public enum Trait: Sendable {
    /// Each result element depends on one element of each operand, under broadcasting.
    case elementwise
    /// The first two operands may change places.
    case commutative
    /// Depends only on the types of its operands, not on their values.
    case shapeOnly
    /// Looks at its operand in another way: no element need be moved.
    case view
    /// Moves or converts elements and computes nothing.
    case copy
    /// Reads something outside the graph; never folded.
    case weight
  }

  /// The operator's name in another system, when it maps one to one.
  public enum ForeignName: Sendable, Hashable {
    case onnx(String, since: Int)
    case mindIR(String)
    case ascend(String)
  }

  public init(
    _ name: String, operands: [String], optional: [String] = [], isVariadic: Bool = false, traits: Set<Trait> = [],
    foreign: [ForeignName] = []
  ) {
    self.name = name
    self.operands = operands
    self.optionalOperands = optional
    self.isVariadic = isVariadic
    self.traits = traits
    self.foreignNames = foreign
  }

  /// Whether a node may have this many operands.
  public func accepts(operandCount count: Int) -> Bool {
    count >= operands.count && (isVariadic || count <= operands.count + optionalOperands.count)
  }
}

/// A broken constraint of an operator.
public struct OpError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The label of the constraint, `softmax_c1`.
  public let constraint: String
  /// What was expected and what was found.
  public let detail: String

  public init(_ constraint: String, _ detail: String) {
    self.constraint = constraint
    self.detail = detail
  }

  public var description: String { "\(constraint): \(detail)" }
}

/// Throws `OpError(label, detail)` unless `condition` holds.
public func require(
  _ condition: Bool, _ label: @autoclosure () -> String, _ detail: @autoclosure () -> String
) throws(OpError) {
  guard condition else { throw OpError(label(), detail()) }
}

/// An operator as a dictionary key: equal when type and attributes are.
public struct OpKey: Hashable {
  public let op: any Op
  public init(_ op: any Op) { self.op = op }
  public static func == (a: OpKey, b: OpKey) -> Bool { a.op.isEqual(to: b.op) }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(ObjectIdentifier(Swift.type(of: op)))
    op.hash(into: &hasher)
  }
}
