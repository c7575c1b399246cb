import IR
import Quantization
import Tensors

/// The step that makes weights sparse.
extension Calibrator {
  /// False when nothing in the section is chosen.
  mutating func sparsify(
    _ selection: QuantizationRecipe.Selection, share: Double, _ number: Int, _ section: Range<Int>,
    _ run: inout CalibrationRun?
  ) throws -> Bool {
    let chosen = try sites(in: section).filter { try $0.layer.isQuantizedByDefault && selection.contains($0.layer) }
    guard !chosen.isEmpty else { return false }
    let start = run
    let (found, threads) = (Observations(), threads)
    let experts = ExpertTokens.all(chosen, graph.graph)
    let plain = Set(chosen.filter { $0.expertPart == nil }.map(\.input))
    var watch = try watch(section)
    watch.observed = plain.union(experts.values.flatMap(\.values))
    watch.observe = { value, tensor in
      for tokens in experts.values { tokens.observe(value, tensor) }
      if plain.contains(value) { try found.observe(value, tensor, threads) }
    }
    try run?.run(section, weights, watch)
    let groups = Dictionary(grouping: chosen.filter { $0.expertPart == nil }, by: \.input)
    for (value, sites) in groups.sorted(by: { $0.key < $1.key }) {
      guard let moments = try settled(found.inputs[value], reader(of: value), number) else { continue }
      try sparsify(sites, share: share, moments)
    }
    // What an expert's last layer reads is made by its others as they were.
    let before = weights
    for site in chosen {
      guard let tokens = experts[site.node] else { continue }
      let inputs = try inputs(of: site, number, tokens, experts, before)
      guard let moments = try settled(SecondMoments(of: inputs, threads), site.layer, number) else { continue }
      try sparsify([site], share: share, moments)
    }
    run = start
    try run?.run(section, weights, self.watch(section))
    return true
  }

  private mutating func sparsify(_ sites: [LinearSite], share: Double, _ moments: SecondMoments) throws {
    guard let first = sites.first else { return }
    let sparsity = try FloatSparsity(moments, module: first.layer.module, threads)
    for site in sites {
      guard let weight = try weights[site.layer.weight]?.tensor() else { continue }
      let module = site.layer.module
      try weights.set(site.layer.weight, Matrix(sparsity.sparse(weight, module: module, share: share)))
    }
  }
}
