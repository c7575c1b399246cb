public import IR

/// The passes that every graph goes through, in order.
public func cleanupPasses() -> [any GraphPass] {
  [EraseDeadCode(), FoldConstants(), EliminateCommonSubexpressions()]
}

/// The default pipeline: clean up, find the fused operators, and for a target make them its own.
///
/// - Parameters:
///   - fuse: false leaves the elementary operators as they are.
///   - target: the chip to lower to; nil for the bundled runtime.
///   - arithmetic: how products with quantized weights are carried out; nil widens the weights.
public func defaultPasses(
  fuse: Bool = true, target: Target? = nil, arithmetic: QuantizedArithmetic? = .a2
) -> [any GraphPass] {
  let quantized: [any GraphPass] = arithmetic.map { [MultiplyQuantized($0)] } ?? []
  guard fuse else { return cleanupPasses() + quantized + (quantized.isEmpty ? [] : cleanupPasses()) }
  var passes = cleanupPasses() + quantized
  passes +=
    [
      FuseLayerNorm(), FuseLayerNorm(.weight), FuseLayerNorm(.plain), FuseRMSNorm(), FuseGelu(), FuseSilu(),
      FuseRotaryEmbedding(),
      FuseAttention(keepsCausalMask: target != nil), FuseLinear(), MergeGateUp(), FuseSwiGLU(), MergeQKV(),
    ] as [any GraphPass]
  if let target { passes.append(LowerToAscend(target)) } else { passes.append(FuseActivation()) }
  return passes + cleanupPasses()
}
