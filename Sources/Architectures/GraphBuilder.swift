public import IR
public import Tensors

/// Appends operators to a graph and keeps the account of the weights that were asked for.
///
/// Composite functions (norms, activations, rotary embedding, attention) are written out in elementary operators, as
/// the frameworks' own code has them; finding the fused forms is the passes' work.
public struct GraphBuilder {
  public private(set) var graph: Graph
  /// The type of activations.
  public let activation: DType
  private let weights: TensorStore
  /// Which of them are stored in few bits.
  let quantization: QuantizedWeights
  /// What was asked for so far, by the graphs of the model that were built before this one too.
  private(set) var account: WeightAccount
  private var weightValues: [TensorName: ValueID] = [:]
  private var scalars: [TensorAttribute: ValueID] = [:]
  private var scope: [String] = []

  init(name: String, weights: TensorStore, options: BuildOptions, account: WeightAccount = WeightAccount()) {
    graph = Graph(name: name)
    self.weights = weights
    quantization = options.quantization
    self.account = account
    activation = options.activation
  }

  /// Goes on with a graph.
  init(continuing graph: Graph, weights: TensorStore, quantization: QuantizedWeights) {
    (self.graph, self.weights, self.quantization) = (graph, weights, quantization)
    (account, activation) = (WeightAccount(), .float32)
  }

  /// The graph, sorted.
  mutating func finish() -> Graph {
    graph.sortTopologically()
    return graph
  }

  // MARK: Structure

  /// Runs `body` with `name` added to the names of the nodes it makes.
  mutating func within<R>(_ name: String, _ body: (inout GraphBuilder) throws -> R) rethrows -> R {
    scope.append(name)
    defer { scope.removeLast() }
    return try body(&self)
  }

  mutating func input(_ name: String, _ type: TensorType, initial: InputDefault? = nil) -> ValueID {
    graph.addInput(name, type, initial: initial)
  }

  mutating func state(_ name: String, _ type: TensorType, axis: Int, capacity: Int) -> ValueID {
    graph.addState(name, type, axis: axis, capacity: capacity)
  }

  mutating func update(_ state: ValueID, _ value: ValueID) { graph.setUpdate(value, of: state) }

  /// Declares an output; floating point is widened to float32.
  mutating func output(_ name: String, _ value: ValueID) throws {
    graph.addOutput(name, type(of: value).dtype.isFloat ? try cast(value, .float32) : value)
  }

  func type(of value: ValueID) -> TensorType { graph.type(of: value) }

  /// Appends an operator with one result.
  mutating func add(_ op: any Op, _ operands: ValueID...) throws -> ValueID { try addAll(op, operands)[0] }

  /// Appends an operator. An operator that rejects its operands means that the configuration contradicts itself.
  mutating func addAll(_ op: any Op, _ operands: [ValueID]) throws -> [ValueID] {
    do { return try graph.add(op, operands, name: scope.joined(separator: ".")) } catch {
      throw BessemerError(
        .config, "the configuration gives no valid graph at \(scope.joined(separator: ".")): \(error)")
    }
  }

  // MARK: Constants and weights

  /// A scalar of the given type.
  mutating func scalar(_ value: Double, _ dtype: DType) throws -> ValueID {
    try constant(try Tensor(dtype, shape: [], doubles: [value]))
  }

  mutating func constant(_ tensor: Tensor) throws -> ValueID {
    let key = TensorAttribute(tensor)
    if let known = scalars[key] { return known }
    let value = try add(Constant(tensor))
    scalars[key] = value
    return value
  }

  /// Whether the checkpoint has a tensor of this name.
  func hasWeight(_ name: String) -> Bool { weights[TensorName(name)] != nil }

  /// What the checkpoint has under this name.
  func weightEntry(_ name: TensorName) -> TensorStore.Entry? { weights[name] }

  /// The weight of this name, which must have this shape. A missing or misshapen one is noted and reported by
  /// ``finish()``. One that is stored in few bits is widened.
  mutating func weight(_ name: String, _ shape: [Int]) throws -> ValueID {
    let name = TensorName(name)
    if let known = weightValues[name], graph.type(of: known).shape == shape { return known }
    let value = try quantizedWeight(name, shape) ?? tensor(name, nil, shape)
    weightValues[name] = value
    return value
  }

  /// A tensor of this name, type and shape; of any type of floating point if it is nil.
  mutating func tensor(_ name: TensorName, _ dtype: DType?, _ shape: [Int]) throws -> ValueID {
    let entry = weights[name]
    try account.ask(name, dtype, shape, entry)
    let type = dtype ?? entry.map(\.dtype).flatMap { $0.isFloat ? $0 : nil } ?? .float32
    return try add(Weight(name, type, shape: shape))
  }

  /// Notes that the checkpoint may hold this tensor although the graph does not use it.
  mutating func ignore(_ name: String) { account.ignore(TensorName(name)) }

  /// Notes that the checkpoint may hold tensors whose names begin so although the graph does not use them.
  mutating func ignore(prefix: String) { account.ignore(prefix: prefix) }

  // MARK: Elementary pieces

  mutating func cast(_ x: ValueID, _ dtype: DType) throws -> ValueID {
    type(of: x).dtype == dtype ? x : try add(Cast(to: dtype), x)
  }

  mutating func multiply(_ x: ValueID, _ factor: Double) throws -> ValueID {
    try add(Multiply(), x, scalar(factor, type(of: x).dtype))
  }

  mutating func plus(_ x: ValueID, _ term: Double) throws -> ValueID {
    try add(Add(), x, scalar(term, type(of: x).dtype))
  }

  /// `x · Wᵀ + b` with `NAME.weight` [outputs, inputs] and, if asked, `NAME.bias` [outputs]. A weight that is `stored`
  /// in another shape, as that of a convolution, is taken as [outputs, inputs].
  mutating func linear(
    _ x: ValueID, _ name: String, outputs: Int, inputs: Int, bias: Bool, stored: [Int]? = nil
  ) throws -> ValueID {
    if hasWeight(name + ".div.mul_scale") {
      // Smoothing that went into no other weight: the layer lies one name deeper.
      let factor = try cast(weight(name + ".div.mul_scale", [inputs]), type(of: x).dtype)
      let smooth = try add(Multiply(), x, factor)
      return try linear(smooth, name + ".linear", outputs: outputs, inputs: inputs, bias: bias, stored: stored)
    }
    return try within(name) { b in
      let dtype = b.type(of: x).dtype
      var weight = try b.cast(b.weight(name + ".weight", stored ?? [outputs, inputs]), dtype)
      if stored != nil { weight = try b.add(Reshape(shape: [outputs, inputs]), weight) }
      let product = try b.add(MatMul(), x, b.add(Transpose(permutation: [1, 0]), weight))
      guard bias else { return product }
      return try b.add(Add(), product, b.cast(b.weight(name + ".bias", [outputs]), dtype))
    }
  }

  /// Rows of the table `NAME` [count, width] in the type of activations.
  mutating func embedding(_ ids: ValueID, _ name: String, count: Int, width: Int) throws -> ValueID {
    try within(name) { b in
      try b.cast(b.add(Gather(axis: 0), b.weight(name, [count, width]), ids), b.activation)
    }
  }

  /// `weight · x / sqrt(mean(x²) + epsilon)`, the mean in float32, the result in x's type.
  mutating func rmsNorm(_ x: ValueID, _ name: String, width: Int, epsilon: Double) throws -> ValueID {
    try within(name) { b in
      let dtype = b.type(of: x).dtype
      let wide = try b.cast(x, .float32)
      let variance = try b.add(ReduceMean(axes: [-1]), b.add(Multiply(), wide, wide))
      let scaled = try b.add(Multiply(), wide, b.add(Rsqrt(), b.plus(variance, epsilon)))
      let y = try b.add(Multiply(), b.cast(b.weight(name, [width]), dtype), b.cast(scaled, dtype))
      // Smoothing with a shift leaves a bias.
      guard !b.quantization.schemes.isEmpty, name.hasSuffix(".weight"),
        case let bias = name.dropLast(".weight".count) + ".bias", b.hasWeight(String(bias))
      else { return y }
      return try b.add(Add(), y, b.cast(b.weight(String(bias), [width]), dtype))
    }
  }

  /// `(x - mean) / sqrt(variance + epsilon) · weight + bias`, the statistics in float32.
  mutating func layerNorm(_ x: ValueID, weight: String, bias: String, width: Int, epsilon: Double) throws -> ValueID {
    try within(weight) { b in
      let dtype = b.type(of: x).dtype
      let scaled = try b.layerNorm(x, epsilon: epsilon)
      let weighted = try b.add(Multiply(), scaled, b.cast(b.weight(weight, [width]), dtype))
      return try b.add(Add(), weighted, b.cast(b.weight(bias, [width]), dtype))
    }
  }

  /// The same without weights.
  mutating func layerNorm(_ x: ValueID, epsilon: Double) throws -> ValueID {
    let wide = try cast(x, .float32)
    let centered = try add(Subtract(), wide, add(ReduceMean(axes: [-1]), wide))
    let variance = try add(ReduceMean(axes: [-1]), add(Multiply(), centered, centered))
    return try cast(add(Divide(), centered, add(Sqrt(), plus(variance, epsilon))), type(of: x).dtype)
  }

  /// An activation function by its name in config.json.
  mutating func activate(_ x: ValueID, _ name: String) throws -> ValueID {
    switch name {
    case "relu": return try add(Relu(), x)
    case "tanh": return try add(Tanh(), x)
    case "silu", "swish": return try add(Multiply(), x, add(Sigmoid(), x))
    case "gelu":
      let bell = try plus(add(Erf(), multiply(x, 0.5.squareRoot())), 1)
      return try add(Multiply(), multiply(x, 0.5), bell)
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast":
      let cube = try add(Multiply(), add(Multiply(), x, x), x)
      let inner = try multiply(add(Add(), x, multiply(cube, 0.044715)), (2 / Double.pi).squareRoot())
      return try add(Multiply(), multiply(x, 0.5), plus(add(Tanh(), inner), 1))
    default: throw BessemerError(.config, "activation \(quoted(name)) is not known")
    }
  }
}
