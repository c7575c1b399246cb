import IR
import Quantization
import Runtime
import Tensors

/// The experts of one operator as frameworks run them: expert by expert, of each sequence the tokens that go to it, one
/// linear layer after the other, so that each layer can be looked at and be quantized.
///
/// Every operation is rounded to the type that PyTorch computes it in. What experts make of a token is added up in
/// their order, in the type of its weights.
struct RoutedExperts {
  let result: ValueID
  private let node: Node
  private let activation: Activation
  /// Gate, up and down of each expert.
  private let experts: [[LinearSite]]

  /// Nil for another operator, and for experts whose matrices are parts of larger weights.
  init?(_ node: Node, _ sites: [LinearSite]) {
    guard let op = node.op as? MixtureOfExperts, !sites.isEmpty, sites.count == node.operands.count - 3 else {
      return nil
    }
    (self.node, result, activation) = (node, node.results[0], op.activation)
    experts = stride(from: 0, to: sites.count, by: 3).map { Array(sites[$0..<$0 + 3]) }
  }

  /// What to look at, and what takes another's place.
  struct Watch {
    /// What a layer reads instead of a sequence's tokens [tokens, channels].
    var read: (_ site: LinearSite, _ tokens: Tensor) throws -> Tensor = { $1 }
    /// The weight that a layer has in this run; nil for its own.
    var weight: (_ site: LinearSite) throws -> Tensor? = { _ in nil }
    /// Layers that compute in float32, see ``WideValues``.
    var wide: Set<TensorName> = []
    /// Whether an expert that no token goes to is shown all tokens.
    var showsIdle = false
    /// Called for each expert after all sequences, with its layers and how many tokens went to it.
    var finish: (_ layers: [LinearSite], _ tokens: Int) throws -> Void = { _, _ in }
  }

  /// A graph ready to run, some of its weights for this run only.
  typealias MakeSession = (_ graph: Graph, _ replacing: [TensorName: Tensor]) throws -> Session

  /// The operator's result for each sequence, in its own type or, where the operand is, in float32.
  func run(
    _ values: [[ValueID: Tensor]], _ graph: Graph, _ weights: PreparedWeights, _ watch: Watch, _ session: MakeSession
  ) throws -> [Tensor] {
    var sequences = try values.map { try ExpertSequence(node, $0, graph) }
    for (expert, layers) in experts.enumerated() {
      let places = sequences.map { $0.places(of: expert) }
      let count = places.reduce(0) { $0 + $1.count }
      if count > 0 || watch.showsIdle {
        let own = try ExpertLayers(layers, activation, sequences[0].x.dtype, weights, watch, session)
        for (index, places) in places.enumerated() where count == 0 || !places.isEmpty {
          try Interrupt.check()
          let made = try own.run(sequences[index].tokens(at: count == 0 ? nil : places))
          if count > 0 { try sequences[index].add(made, to: places) }
        }
      }
      try watch.finish(layers, count)
    }
    return try sequences.map { try $0.sums.tensor($0.x.dtype, shape: $0.x.shape) }
  }
}

/// What experts read of a sequence, and the sums of what they make of it.
private struct ExpertSequence {
  let x: Tensor
  private let rows: Matrix
  /// For each token the experts that it goes to, and the weight of each.
  private let choices: [Int64]
  /// Whether an expert gets the tokens first whose first choice it is: so it is in transformers where tokens are
  /// weighted by what they are sent by.
  private let isByPlace: Bool
  private let shares: [Float]
  /// That of ``shares`` and ``sums``.
  private let dtype: DType
  private(set) var sums: Matrix

  init(_ node: Node, _ values: [ValueID: Tensor], _ graph: Graph) throws {
    guard let x = values[node.operands[0]], let weights = values[node.operands[1]],
      let choices = values[node.operands[2]]
    else { preconditionFailure("what experts read is not known") }
    self.x = x
    rows = try Matrix(x)
    self.choices = choices.integers
    let top = graph.producer(of: node.operands[2], as: TopK.self)
    isByPlace = top.map { !graph.users(of: $0.node.results[0]).isEmpty } ?? false
    let type = graph.type(of: node.operands[1]).dtype
    dtype = type.isHalf && x.dtype == .float32 ? .float32 : type
    shares = try weights.floats.rounded(to: dtype)
    sums = Matrix(zeros: rows.rows, rows.columns)
  }

  private func token(at place: Int) -> Int { place / (choices.count / rows.rows) }

  /// Where an expert stands among the choices, in the order in which frameworks take its tokens.
  func places(of expert: Int) -> [Int] {
    let places = choices.indices.filter { choices[$0] == expert }
    guard isByPlace else { return places }
    let each = choices.count / rows.rows
    return (0..<each).flatMap { place in places.filter { $0 % each == place } }
  }

  /// The tokens that choices belong to, or all.
  func tokens(at places: [Int]?) throws -> Tensor {
    guard let places else { return x.reshaped([rows.rows, rows.columns]) }
    let values = places.flatMap { place in
      rows.values[(token(at: place) * rows.columns)..<((token(at: place) + 1) * rows.columns)]
    }
    return try Matrix(rows: places.count, columns: rows.columns, values: values).tensor(
      x.dtype, shape: [places.count, rows.columns])
  }

  /// Adds what an expert made of the tokens, times their weights.
  mutating func add(_ made: Tensor, to places: [Int]) throws {
    let product = made.dtype == dtype ? dtype : .float32
    let values = made.floats
    for (row, place) in places.enumerated() {
      for column in 0..<rows.columns {
        let term = (values[row * rows.columns + column] * shares[place]).rounded(to: product).rounded(to: dtype)
        let index = token(at: place) * rows.columns + column
        sums.values[index] = (sums.values[index] + term).rounded(to: dtype)
      }
    }
  }
}

/// The three linear layers of an expert, for tokens of a type.
private struct ExpertLayers {
  let layers: [LinearSite]
  let watch: RoutedExperts.Watch
  /// From what gate and up read to what down reads, and from there on.
  private let (inner, outer): (Session, Session)

  init(
    _ layers: [LinearSite], _ activation: Activation, _ dtype: DType, _ weights: PreparedWeights,
    _ watch: RoutedExperts.Watch, _ session: RoutedExperts.MakeSession
  ) throws {
    (self.layers, self.watch) = (layers, watch)
    var replacing: [TensorName: Tensor] = [:]
    for site in layers { replacing[site.layer.weight] = try watch.weight(site) }
    /// `x · Wᵀ` of an input with a name.
    func product(_ site: LinearSite, _ name: String, _ dtype: DType, _ graph: inout Graph) throws -> ValueID {
      let weight = site.layer.weight
      let shape = [try weights.rows(of: weight), try weights.columns(of: weight)]
      let wide = watch.wide.contains(weight) ? DType.float32 : dtype
      func cast(_ value: ValueID) throws -> ValueID {
        graph.type(of: value).dtype == wide ? value : try graph.add(Cast(to: wide), [value])[0]
      }
      let input = try cast(graph.addInput(name, TensorType(dtype, [.symbol("tokens"), .known(shape[1])])))
      let matrix = try cast(graph.add(Weight(weight, weights.dtype(of: weight), shape: shape))[0])
      return try graph.add(MatMul(), [input, graph.add(Transpose(permutation: [1, 0]), [matrix])[0]])[0]
    }
    var first = Graph(name: layers[0].layer.module)
    var gate = try product(layers[0], "gate", dtype, &first)
    let up = try product(layers[1], "up", dtype, &first)
    if let op = activation.op { gate = try first.add(op, [gate])[0] }
    let types = (first.type(of: gate).dtype, first.type(of: up).dtype)
    let joint = types.0 == types.1 ? types.0 : .float32
    func widened(_ value: ValueID) throws -> ValueID {
      first.type(of: value).dtype == joint ? value : try first.add(Cast(to: joint), [value])[0]
    }
    first.addOutput("inner", try first.add(Multiply(), [widened(gate), widened(up)])[0])
    inner = try session(first, replacing)
    var last = Graph(name: layers[2].layer.module)
    last.addOutput("result", try product(layers[2], "inner", joint, &last))
    outer = try session(last, replacing)
  }

  func run(_ tokens: Tensor) throws -> Tensor {
    func run(_ session: Session, _ inputs: [String: Tensor], _ output: String) throws -> Tensor {
      guard let made = try session.run(inputs)[output] else { preconditionFailure("a graph without its output") }
      return made
    }
    let read = ["gate": try watch.read(layers[0], tokens), "up": try watch.read(layers[1], tokens)]
    return try run(outer, ["inner": watch.read(layers[2], run(inner, read, "inner"))], "result")
  }
}

extension Activation {
  /// Nil for none.
  fileprivate var op: (any Op)? {
    switch self {
    case .none: nil
    case .relu: Relu()
    case .gelu: Gelu()
    case .geluTanh: Gelu(approximation: .tanh)
    case .silu: Silu()
    case .tanh: Tanh()
    }
  }
}
