/// The passes that every graph goes through, in order.
public func cleanupPasses() -> [any GraphPass] {
  [EraseDeadCode(), FoldConstants(), EliminateCommonSubexpressions()]
}

/// The default pipeline: clean up, find the fused operators, and for a target make them its own.
///
/// - Parameters:
///   - fuse: false leaves the elementary operators as they are.
///   - target: the chip to lower to; nil for the bundled runtime.
public func defaultPasses(fuse: Bool = true, target: Target? = nil) -> [any GraphPass] {
  guard fuse else { return cleanupPasses() }
  var passes = cleanupPasses()
  passes +=
    [
      FuseLayerNorm(), FuseLayerNorm(.weight), FuseLayerNorm(.plain), FuseRMSNorm(), FuseGelu(), FuseSilu(),
      FuseRotaryEmbedding(),
      FuseAttention(keepsCausalMask: target != nil), FuseLinear(), MergeGateUp(), FuseSwiGLU(), MergeQKV(),
    ] as [any GraphPass]
  if let target { passes.append(LowerToAscend(target)) } else { passes.append(FuseActivation()) }
  return passes + cleanupPasses()
}
