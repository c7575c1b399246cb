import Tensors

/// Finds for each tensor of an output what it is to the tensors of a source, by content; names only say where to look
/// first.
struct RelationFinder {
  /// What was found of an output.
  struct Finding {
    var relation: Relation
    /// The sources by number, with the elements that the output has of each and which ones.
    var uses: [Use]
    /// How the output is made of the sources; nil where that takes more than a recipe says.
    var recipe: Recipe?
  }

  struct Use: Hashable {
    let source: Int
    let elementCount: Int
    /// The slices of the source; nil for all of it.
    var region: String?
    /// The number of the slice among those of its size; nil for all of the source.
    var slice: Int?
  }

  let output: [TensorStore.Entry]
  let source: [TensorStore.Entry]
  let scan: TensorScan
  let prober: Prober
  private let sourceNumbers: [TensorName: Int]

  var findings: [Finding?]
  /// Sources that explain an output as well as the one that was taken: they hold the same elements.
  var equals: [Int: [Int]] = [:]
  /// What was learned of outputs that nothing explains.
  var notes: [Int: String] = [:]

  init(output: [TensorStore.Entry], source: [TensorStore.Entry], scan: TensorScan) {
    self.output = output
    self.source = source
    self.scan = scan
    prober = Prober(output + source)
    findings = Array(repeating: nil, count: output.count)
    sourceNumbers = Dictionary(source.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The outputs that nothing explains so far.
  var open: [Int] { output.indices.filter { findings[$0] == nil } }

  func namesake(of index: Int) -> Int? { sourceNumbers[output[index].name] }

  /// Sources by how much their names have in common with that of an output, the most first.
  func byName(_ sources: [Int], _ index: Int) -> [Int] {
    sources.map { ($0, NameNumbers.affinity(output[index].name, source[$0].name)) }
      .sorted { ($1.1, $0.0) < ($0.1, $1.0) }.map(\.0)
  }

  /// A source as a tensor of this type; nil where it cannot be.
  func cast(_ index: Int, to dtype: DType) -> TensorExpression? {
    guard Fingerprinter.canCast(source[index].dtype, to: dtype) else { return nil }
    return try? TensorExpression(source[index]).cast(to: dtype)
  }

  // MARK: The same name

  /// Compares each output with the source of its name, if that has its shape.
  mutating func findNamesakes() throws {
    let results = Slots<Finding>(count: output.count)
    try scan.forEach(output.count) { index in
      guard let other = namesake(of: index), source[other].shape == output[index].shape,
        let expression = cast(other, to: output[index].dtype),
        let losses = try ExactComparison.losses(of: expression, ifEqualTo: output[index])
      else { return }
      results[index] = finding(Layout(kind: .identical, words: nil, expression: expression), [other], losses)
    }
    for index in output.indices { findings[index] = results[index] }
  }

  /// What a whole source, or several, in some layout is.
  private func finding(_ layout: Layout, _ sources: [Int], _ losses: CastLosses) -> Finding {
    Finding(
      relation: relation(layout.kind, layout.expression, words: layout.words, sources, losses),
      uses: sources.map { Use(source: $0, elementCount: count(source[$0])) },
      recipe: sources.count == 1 ? .turned(source[sources[0]].name, steps: layout.expression.steps) : nil)
  }

  func relation(
    _ kind: Relation.Kind, _ expression: TensorExpression, words: String?, _ sources: [Int], _ losses: CastLosses
  ) -> Relation {
    let isCast = expression.sources.contains { $0.dtype != expression.dtype }
    var steps = expression.steps
    // Several steps that one phrase says better.
    if let words { steps = steps.filter { $0.hasPrefix("cast ") }.prefix(1) + [words] }
    return Relation(
      kind == .identical && isCast ? .cast : kind, sources.map { source[$0].name }, steps: steps, losses: losses)
  }

  func count(_ entry: TensorStore.Entry) -> Int { Tensor.elementCount(of: entry.shape) ?? 0 }

  // MARK: A whole tensor in another order

  /// Tries whether an output has all elements of a source in an order that is known.
  mutating func explain(_ index: Int, by other: Int) throws -> Bool {
    guard let expression = cast(other, to: output[index].dtype),
      let (layout, losses) = try layout(of: expression, as: output[index])
    else { return false }
    findings[index] = finding(layout, [other], losses)
    return true
  }

  /// The layout in which an expression gives exactly the elements of a tensor, with what casts did.
  func layout(
    of expression: TensorExpression, as entry: TensorStore.Entry
  ) throws -> (layout: Layout, losses: CastLosses)? {
    var losses = CastLosses()
    let found = try layout(of: expression, as: TensorExpression(entry)) { layout in
      guard let own = try ExactComparison.losses(of: layout.expression, ifEqualTo: entry) else { return false }
      losses = own
      return true
    }
    return found.map { ($0, losses) }
  }

  /// The first layout of `expression` of which some elements are those of `target`, and that `body` confirms. Of what
  /// cannot be probed only the plain one is tried.
  func layout(
    of expression: TensorExpression, as target: TensorExpression, _ body: @escaping (Layout) throws -> Bool
  ) throws -> Layout? {
    guard let wanted = try prober.open(target), try prober.open(expression) != nil else {
      let plain = Layout(kind: .identical, words: nil, expression: try expression.reshaped(target.shape))
      return try body(plain) ? plain : nil
    }
    return try Layout.first(expression, shape: target.shape) { layout in
      guard let own = try prober.open(layout.expression), try prober.mayBeEqual(own, wanted) else { return false }
      return try body(layout)
    }
  }
}
