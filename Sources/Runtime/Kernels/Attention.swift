import CKernels
import IR
import Tensors

extension Attention: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let mask = node.operands.count > 3 ? node.operands[3] : nil
    return try planner.attend(node, scale: scale, causal: causal, mask: mask, maskHides: false)
  }
}

extension Ascend.FlashAttentionScore: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard sparseMode == 0 || sparseMode == 3 else { return false }
    let mask = node.operands.count > 3 ? node.operands[3] : nil
    return try planner.attend(node, scale: scaleValue, causal: sparseMode == 3, mask: mask, maskHides: true)
  }
}

extension Ascend.PromptFlashAttention: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard sparseMode == 0 || sparseMode == 3 else { return false }
    let mask = node.operands.count > 3 ? node.operands[3] : nil
    return try planner.attend(node, scale: scaleValue, causal: sparseMode == 3, mask: mask, maskHides: true)
  }
}

extension Planner {
  /// - Parameter maskHides: whether a true element of a boolean mask hides a key, as on Ascend, or shows it.
  fileprivate mutating func attend(_ node: Node, scale: Double, causal: Bool, mask: ValueID?, maskHides: Bool) throws
    -> Bool
  {
    guard isFloat(node.operands[0]) else { return false }
    func dense(_ value: ValueID, _ p: inout Planner) throws -> View {
      let view = try p.floatView(value)
      return view.isDense ? view : p.contiguous(view)
    }
    /// Keys and values that lie in bfloat16 are widened as they are read.
    func narrow(_ value: ValueID) -> View? {
      guard !model.parameters.isParameter(value), let view = try? view(value) else { return nil }
      return view.dtype == .bfloat16 && view.isDense ? view : nil
    }
    let q = try dense(node.operands[0], &self)
    let asPyTorch = model.options.isAsPyTorch
    let (k, v): (View, View)
    if !asPyTorch, let keys = narrow(node.operands[1]), let values = narrow(node.operands[2]) {
      (k, v) = (keys, values)
    } else {
      (k, v) = (try dense(node.operands[1], &self), try dense(node.operands[2], &self))
    }
    let shape = shape(node.results[0])
    let hidden = try mask.map {
      try maskView($0, shape: [shape[0], shape[1], shape[2], k.shape[2]], inverted: maskHides)
    }
    // Laid out as [batch, sequence, head, size], so that joining the heads copies nothing.
    let memory = allocate(.float32, shape: [shape[0], shape[2], shape[1], shape[3]])
    let out = memory.transposed([0, 2, 1, 3])
    let pool = pool
    let extent = extent(of: node.operands[1])
    let type = bk_dtype(dtype(node.results[0])) ?? BK_F32
    addStep("attention", reads: [q, k, v] + (hidden.map { [$0] } ?? []), writes: [out]) { arena in
      var arguments = bk_attention_args()
      (arguments.batch, arguments.q_heads, arguments.kv_heads) = (q.shape[0], q.shape[1], k.shape[1])
      (arguments.queries, arguments.keys, arguments.depth, arguments.v_depth) = (
        q.shape[2], k.shape[2], q.shape[3], v.shape[3]
      )
      arguments.q = UnsafePointer(arena.floats(q))
      arguments.q_strides = q.attentionStrides
      arguments.kv_type = k.dtype == .float32 ? BK_F32 : BK_BF16
      arguments.k = UnsafeRawPointer(arena.pointer(k))
      arguments.k_strides = k.attentionStrides
      arguments.v = UnsafeRawPointer(arena.pointer(v))
      arguments.v_strides = v.attentionStrides
      arguments.out = arena.floats(out)
      arguments.out_strides = out.attentionStrides
      arguments.scale = Float(scale)
      arguments.causal = causal
      (arguments.as_pytorch, arguments.value_type) = (asPyTorch, type)
      if let hidden {
        arguments.mask_kind = hidden.dtype == .bool ? BK_MASK_BOOL : BK_MASK_F32
        arguments.mask = UnsafeRawPointer(arena.pointer(hidden))
        arguments.mask_strides = (hidden.strides[0], hidden.strides[1], hidden.strides[2], hidden.strides[3])
      }
      return { [arguments] in
        var arguments = arguments
        if let extent { arguments.keys = extent.total }
        try check(bk_attention(pool, &arguments))
      }
    }
    try finish(node.results[0], out)
    return true
  }

  /// A mask as the kernel reads it, broadcast to [batch, heads, queries, keys]; bytes not 0 show a key.
  private mutating func maskView(_ mask: ValueID, shape: [Int], inverted: Bool) throws -> View {
    var view = try dtype(mask) == .bool ? view(mask) : floatView(mask)
    if inverted, view.dtype == .bool {
      let source = contiguous(view)
      let result = allocate(.bool, shape: source.shape)
      let count = source.elementCount
      addStep("not", reads: [source], writes: [result]) { arena in
        let input = arena.pointer(source).assumingMemoryBound(to: UInt8.self)
        let output = arena.pointer(result).assumingMemoryBound(to: UInt8.self)
        return { for i in 0..<count { output[i] = input[i] == 0 ? 1 : 0 } }
      }
      view = result
    }
    let missing = 4 - view.rank
    view.shape = [Int](repeating: 1, count: missing) + view.shape
    view.strides = [Int](repeating: 0, count: missing) + view.strides
    return view.expanded(to: shape)
  }
}

extension View {
  fileprivate var attentionStrides: bk_strides3 {
    bk_strides3(batch: strides[0], head: strides[1], sequence: strides[2])
  }
}
