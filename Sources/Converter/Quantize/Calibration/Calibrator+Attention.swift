import IR
import Quantization
import Tensors

/// Steps that look at what attention multiplies.
extension Calibrator {
  /// Of the values, the share that a scale is made for; the rest may be cut off. As in msModelSlim for DeepSeek-V3.
  private static let shares: [AttentionOperand: Double] = [.queries: 0.9999, .keys: 0.9999, .values: 1]

  /// False when the scales need no data, or the section has no such attention.
  mutating func observe(
    _ step: QuantizationRecipe.Attention, _ number: Int, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let operands = AttentionOperand.allCases.filter { step.formats[$0]?.needsRange == true }
    let here = Set(sites(in: section).map(\.layer.weight))
    let all = latent.filter { here.contains($0.weight) }
    // Layers that are left out run once more, too, as in msModelSlim.
    guard !operands.isEmpty, !all.isEmpty else { return false }
    let chosen = try all.filter { try step.selection.contains($0.module) }
    let found = Observations()
    let (current, threads) = (weights, threads)
    func observe(_ attention: LatentAttention, _ operand: AttentionOperand, _ heads: [[Float]]) throws {
      let fresh = RecallRange(share: Calibrator.shares[operand] ?? 1)
      var ranges = found.recalls["\(attention.module).\(operand.rawValue)"] ?? heads.map { _ in fresh }
      for index in heads.indices { try ranges[index].observe(heads[index]) }
      found.recalls["\(attention.module).\(operand.rawValue)"] = ranges
    }
    var watch = try watch(section)
    watch.observed = Set(chosen.flatMap { [$0.queries, $0.latent] })
    watch.observe = { value, tensor in
      for attention in chosen {
        if value == attention.queries, operands.contains(.queries) {
          let heads = try attention.absorbed(tensor, current.matrix(attention.weight), threads)
          try observe(attention, .queries, heads)
        } else if value == attention.latent {
          for operand in operands where operand != .queries { try observe(attention, operand, [tensor.floats]) }
        }
      }
    }
    try run?.run(section, weights, watch)
    for attention in chosen {
      for operand in operands {
        let name = "\(attention.module).\(operand.rawValue)"
        let dtype = graph.graph.type(of: attention.latent).dtype
        guard let format = step.formats[operand] else { continue }
        let scales = found.recalls[name].map { ranges in
          OperandScales(all: ranges.map { format.scale($0, dtype: dtype) })
        }
        weights.attentionScales[name] = try statistics.settled(
          scales, step: number, name, columns: operand == .queries ? attention.heads : 1)?.all
      }
    }
    return true
  }
}
