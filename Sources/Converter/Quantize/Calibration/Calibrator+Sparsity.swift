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
    let plain = Set(chosen.filter { $0.expertPart == nil }.map(\.input))
    var watch = try watch(section)
    watch.observed = plain
    watch.observe = { if plain.contains($0) { try found.observe($0, $1, threads) } }
    let inExperts = chosen.filter { $0.expertPart != nil }
    let findings = observeExperts(Set(inExperts.map(\.layer.weight)), keepsInputs: true, &watch.experts)
    try run?.run(section, weights, watch)
    let groups = Dictionary(grouping: chosen.filter { $0.expertPart == nil }, by: \.input)
    for (value, sites) in groups.sorted(by: { $0.key < $1.key }) {
      guard let moments = try settled(found.inputs[value], reader(of: value), number) else { continue }
      try sparsify(sites, share: share, moments)
    }
    for site in inExperts {
      if try isIdle(site.layer, number, tokens: findings.counts[site.layer.weight]) { findings.note(site.layer) }
      let moments = try SecondMoments(of: findings.inputs[site.layer.weight] ?? [], threads)
      guard let moments = try settled(moments, site.layer, number) else { continue }
      try sparsify([site], share: share, moments)
    }
    add(findings.notes)
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
