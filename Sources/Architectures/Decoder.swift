import IR
import Tensors

/// The parts that decoder-only language models share: inputs, positions, masks, grouped attention with a key-value cache.
struct Decoder {
  let hiddenSize: Int
  let heads: Int
  let keyValueHeads: Int
  let headSize: Int
  let capacity: Int
  /// `input_ids` [batch, sequence].
  let ids: ValueID
  /// What is added to attention scores: 0 where a query may look, the lowest number elsewhere; [batch, 1, sequence, past+sequence].
  let bias: ValueID
  let rotary: Rotary

  /// Cosines and sines of the rotation angles, [batch, 1, sequence, size].
  struct Rotary {
    let cosines: ValueID
    let sines: ValueID
    /// How many of a head's leading dimensions are rotated.
    let size: Int
    /// Whether pairs are neighbours (2i, 2i+1) or halves (i, i + size/2).
    let interleaved: Bool
  }

  /// Declares `input_ids`, `attention_mask` and `position_ids` and computes masks and rotations.
  /// - Throws: ``ErrorCode/config`` when the sizes contradict one another.
  init(_ sizes: DecoderSizes, rotary: RotaryParameters, interleaved: Bool, _ b: inout GraphBuilder) throws {
    try sizes.check()
    hiddenSize = sizes.hiddenSize
    heads = sizes.heads
    keyValueHeads = sizes.keyValueHeads
    headSize = sizes.headSize
    capacity = sizes.maximumPositions
    let frequencies = try rotary.frequencies(headSize: sizes.headSize)
    ids = b.input("input_ids", TensorType(.int64, ["batch", "sequence"]))
    let mask = b.input("attention_mask", TensorType(.int64, ["batch", "past+sequence"]), initial: .ones)
    let positions = b.input("position_ids", TensorType(.int64, ["batch", "sequence"]), initial: .positions)
    let ids = ids
    bias = try b.within("mask") { try Decoder.causalBias(&$0, ids, mask) }
    self.rotary = try b.within("rotary") { b in
      let angles = try b.add(
        Multiply(), b.cast(b.add(Unsqueeze(axis: 3), b.add(Unsqueeze(axis: 1), positions)), .float32),
        b.constant(Tensor(frequencies, shape: [1, 1, 1, frequencies.count])))
      return try Rotary(angles, rotary.attentionFactor, size: 2 * frequencies.count, interleaved: interleaved, &b)
    }
  }

  /// Queries at `past + i` see keys up to there, where `attention_mask` is not 0.
  private static func causalBias(_ b: inout GraphBuilder, _ ids: ValueID, _ mask: ValueID) throws -> ValueID {
    let queries = try b.add(Iota(axis: 1), ids)
    let keys = try b.add(Iota(axis: 1), mask)
    let past = try b.add(Subtract(), b.add(Size(axis: 1), mask), b.add(Size(axis: 1), ids))
    let reach = try b.add(Unsqueeze(axis: 1), b.add(Add(), queries, past))
    let causal = try b.add(LessOrEqual(), b.add(Unsqueeze(axis: 0), keys), reach)
    let visible = try b.add(NotEqual(), b.add(Unsqueeze(axis: 1), b.add(Unsqueeze(axis: 1), mask)), b.scalar(0, .int64))
    let both = try b.add(And(), b.add(Unsqueeze(axis: 0), b.add(Unsqueeze(axis: 0), causal)), visible)
    return try b.maskBias(both)
  }

  /// Projections, rotation, cache and scaled dot-product attention of layer `layer`; `x` [batch, sequence, hidden].
  func attention(
    _ x: ValueID, prefix: String, layer: Int, inputBias: Bool, outputBias: Bool,
    normalizeHead: ((inout GraphBuilder, ValueID, String) throws -> ValueID)? = nil, _ b: inout GraphBuilder
  ) throws -> ValueID {
    func split(_ name: String, _ count: Int, _ b: inout GraphBuilder) throws -> ValueID {
      let y = try b.linear(x, "\(prefix).\(name)", outputs: count * headSize, inputs: hiddenSize, bias: inputBias)
      return try b.add(Reshape(shape: [0, 0, count, headSize]), y)
    }
    func toHeads(_ y: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
      try b.add(Transpose(permutation: [0, 2, 1, 3]), y)
    }
    let queries = try rotate(toHeads(split("q_proj", heads, &b), &b), &b)
    let keys = try rotate(toHeads(split("k_proj", keyValueHeads, &b), &b), &b)
    let values = try toHeads(split("v_proj", keyValueHeads, &b), &b)
    let mixed = try b.within("\(prefix).attention") { b in
      let allKeys = try cached("layers.\(layer).key", keys, &b)
      let allValues = try cached("layers.\(layer).value", values, &b)
      return try b.attention(
        queries, allKeys, allValues, scale: 1 / Double(headSize).squareRoot(), groups: heads / keyValueHeads, bias: bias
      )
    }
    let joined = try b.add(
      Reshape(shape: [0, 0, heads * headSize]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
    return try b.linear(joined, "\(prefix).o_proj", outputs: hiddenSize, inputs: heads * headSize, bias: outputBias)
  }

  /// Past and present rows, [batch, heads, past+sequence, size].
  private func cached(_ name: String, _ present: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    let type = TensorType(b.type(of: present).dtype, ["batch", .known(keyValueHeads), "past", .known(headSize)])
    let past = b.state(name, type, axis: 2, capacity: capacity)
    let all = try b.add(Concat(axis: 2), past, present)
    b.update(past, all)
    return all
  }

  /// Rotates the leading dimensions of every head, [batch, heads, sequence, size].
  private func rotate(_ x: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    try b.within("rotary") { b in
      guard rotary.size < headSize else { return try rotary.apply(x, &b) }
      let rotated = try rotary.apply(b.add(Slice(axis: 3, start: 0, end: rotary.size), x), &b)
      return try b.add(Concat(axis: 3), rotated, b.add(Slice(axis: 3, start: rotary.size), x))
    }
  }
}

extension Decoder.Rotary {
  /// Cosines and sines of `angles` [batch, 1, sequence, size/2], each repeated for both members of a pair.
  init(_ angles: ValueID, _ factor: Double, size: Int, interleaved: Bool, _ b: inout GraphBuilder) throws {
    self.size = size
    self.interleaved = interleaved
    let both: ValueID
    if interleaved {
      let column = try b.add(Unsqueeze(axis: 4), angles)
      both = try b.add(Reshape(shape: [0, 0, 0, size]), b.add(Concat(axis: 4), column, column))
    } else {
      both = try b.add(Concat(axis: 3), angles, angles)
    }
    func table(_ x: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
      try b.cast(factor == 1 ? x : b.multiply(x, factor), b.activation)
    }
    cosines = try table(b.add(Cos(), both), &b)
    sines = try table(b.add(Sin(), both), &b)
  }

  /// `x · cos + partner(x) · sin`, where the partner of a pair (a, b) is (-b, a).
  func apply(_ x: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    let partner: ValueID
    if interleaved {
      let pairs = try b.add(Reshape(shape: [0, 0, 0, size / 2, 2]), x)
      let first = try b.add(Slice(axis: 4, start: 0, end: 1), pairs)
      let second = try b.add(Slice(axis: 4, start: 1), pairs)
      partner = try b.add(Reshape(shape: [0, 0, 0, size]), b.add(Concat(axis: 4), b.add(Negate(), second), first))
    } else {
      let first = try b.add(Slice(axis: 3, start: 0, end: size / 2), x)
      let second = try b.add(Slice(axis: 3, start: size / 2), x)
      partner = try b.add(Concat(axis: 3), b.add(Negate(), second), first)
    }
    return try b.add(Add(), b.add(Multiply(), x, cosines), b.add(Multiply(), partner, sines))
  }
}

extension GraphBuilder {
  /// 0 where `visible` holds and the lowest float32 elsewhere, in the type of activations.
  mutating func maskBias(_ visible: ValueID) throws -> ValueID {
    let lowest =
      activation == .float16
      ? -65504.0 : activation == .bfloat16 ? -3.3895313892515355e38 : Double(-Float.greatestFiniteMagnitude)
    return try add(Where(), visible, scalar(0, activation), scalar(lowest, activation))
  }

  /// `softmax(q · kᵀ · scale + bias) · v`; q [batch, heads, sequence, size], k and v [batch, heads/groups, total, size].
  mutating func attention(_ q: ValueID, _ k: ValueID, _ v: ValueID, scale: Double, groups: Int, bias: ValueID) throws
    -> ValueID
  {
    let keys = try repeated(k, groups)
    let values = try repeated(v, groups)
    let scores = try multiply(add(MatMul(), q, add(Transpose(permutation: [0, 1, 3, 2]), keys)), scale)
    let wide = try cast(add(Add(), scores, bias), .float32)
    return try add(MatMul(), cast(add(Softmax(axis: -1), wide), type(of: q).dtype), values)
  }

  /// Each head of [batch, heads, total, size] repeated `groups` times.
  private mutating func repeated(_ x: ValueID, _ groups: Int) throws -> ValueID {
    guard groups > 1, let heads = type(of: x).dims[1].value else { return x }
    let expanded = try add(Expand(shape: [0, 0, groups, 0, 0]), add(Unsqueeze(axis: 2), x))
    return try add(Reshape(shape: [0, heads * groups, -1, type(of: x).dims[3].value ?? -1]), expanded)
  }
}
