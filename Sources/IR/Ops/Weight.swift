public import Tensors

/// A tensor of the model's weights, by name. It is looked at, never copied into the graph.
///
/// - C1: no dimension is negative.
public struct Weight: Op {
  public static let schema = OpSchema("weight", operands: [], traits: [.weight])
  public let name: TensorName
  public let dtype: DType
  public let shape: [Int]

  public init(_ name: TensorName, _ type: DType, shape: [Int]) {
    self.name = name
    self.dtype = type
    self.shape = shape
  }

  // As Codable would have it: graphs have thousands of weights, no two alike.
  public var attributes: Attributes {
    ["name": .string(name.string), "dtype": .string(dtype.rawValue), "shape": .ints(shape)]
  }

  public init(attributes: Attributes) throws {
    guard case .string(let name)? = attributes["name"], case .string(let dtypeName)? = attributes["dtype"],
      let dtype = DType(rawValue: dtypeName), case .ints(let shape)? = attributes["shape"], attributes.count == 3
    else { throw AttributeError(description: "expected the attributes name, dtype and shape") }
    self.init(TensorName(name), dtype, shape: shape)
  }

  public func infer(_: [TensorType]) throws(OpError) -> [TensorType] {
    try require(Tensor.byteCount(dtype, shape: shape) != nil, "weight_c1", "bad shape \(shape) for \(dtype)")
    return [TensorType(dtype, shape: shape)]
  }

  public func evaluate(_: [Tensor]) throws -> [Tensor] {
    throw BessemerError(.weights, "the value of weight \(quoted(name.string)) is not in the graph")
  }
}
