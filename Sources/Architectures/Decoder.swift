import IR
import Tensors

/// The parts that decoder-only language models share: inputs, positions, masks, grouped attention with a key-value
/// cache.
struct Decoder {
  let sizes: DecoderSizes
  /// `input_ids` and `position_ids`, [batch, sequence]; positions of several axes are [3, batch, sequence].
  let ids: ValueID
  let positions: ValueID
  /// What is added to attention scores: 0 where a query may look, the lowest number elsewhere;
  /// [batch, 1, sequence, past+sequence].
  let bias: ValueID
  /// The same for layers that see no further back than a window.
  let windowBias: ValueID?
  /// Nil where positions are learned.
  let rotary: Rotary?

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
  /// - Parameters:
  ///   - rotarySize: the dimensions of a head that `rotary` speaks of, all of them by default.
  ///   - sections: where positions have three axes, how many pairs of dimensions turn by each in turn.
  ///   - window: how many keys a query of a windowed layer sees, its own included.
  /// - Throws: ``ErrorCode/config`` when the sizes contradict one another.
  init(
    _ sizes: DecoderSizes, rotary: RotaryParameters?, rotarySize: Int? = nil, interleaved: Bool = false,
    sections: [Int]? = nil, window: Int? = nil, _ b: inout GraphBuilder
  ) throws {
    try sizes.check()
    self.sizes = sizes
    let frequencies = try rotary?.frequencies(headSize: rotarySize ?? sizes.headSize)
    let ids = b.input("input_ids", TensorType(.int64, ["batch", "sequence"]))
    let mask = b.input("attention_mask", TensorType(.int64, ["batch", "past+sequence"]), initial: .ones)
    let axes: [Dim] = sections == nil ? [] : [3]
    let positions = b.input("position_ids", TensorType(.int64, axes + ["batch", "sequence"]), initial: .positions)
    (self.ids, self.positions) = (ids, positions)
    bias = try b.within("mask") { try Decoder.causalBias(&$0, ids, mask, window: nil) }
    windowBias = try window.map { window in
      try b.within("window_mask") { try Decoder.causalBias(&$0, ids, mask, window: window) }
    }
    guard let rotary, let frequencies else {
      self.rotary = nil
      return
    }
    self.rotary = try b.within("rotary") { b in
      let angles =
        try sections.map { try Decoder.angles(positions, frequencies, sections: $0, &b) }
        ?? Decoder.angles(positions, frequencies, &b)
      return try Rotary(angles, rotary.attentionFactor, size: 2 * frequencies.count, interleaved: interleaved, &b)
    }
  }

  /// Positions [batch, sequence] times frequencies, [batch, 1, sequence, pairs].
  private static func angles(_ positions: ValueID, _ frequencies: [Float], _ b: inout GraphBuilder) throws -> ValueID {
    try b.add(
      Multiply(), b.cast(b.add(Unsqueeze(axis: 3), b.add(Unsqueeze(axis: 1), positions)), .float32),
      b.constant(Tensor(frequencies, shape: [1, 1, 1, frequencies.count])))
  }

  /// The same of positions [3, batch, sequence]: the first section of frequencies is for the first axis, the next for
  /// the next, and so on in turn.
  private static func angles(
    _ positions: ValueID, _ frequencies: [Float], sections: [Int], _ b: inout GraphBuilder
  ) throws -> ValueID {
    try checkSizes(sections.map { ("mrope_section", $0) })
    guard sections.reduce(0, +) == frequencies.count else {
      throw BessemerError(.config, "mrope_section is \(sections), expected a sum of \(frequencies.count)")
    }
    let axes = try b.addAll(Split(axis: 0, sizes: [1, 1, 1]), [positions])
    var start = 0
    let parts = try sections.enumerated().map { k, count in
      defer { start += count }
      let axis = try b.add(Squeeze(axis: 0), axes[k % 3])
      return try angles(axis, Array(frequencies[start..<start + count]), &b)
    }
    return try b.addAll(Concat(axis: 3), parts)[0]
  }

  /// Queries at `past + i` see the last `window` keys up to there, or all, where `attention_mask` is not 0.
  private static func causalBias(_ b: inout GraphBuilder, _ ids: ValueID, _ mask: ValueID, window: Int?) throws
    -> ValueID
  {
    let queries = try b.add(Iota(axis: 1), ids)
    let keys = try b.add(Unsqueeze(axis: 0), b.add(Iota(axis: 1), mask))
    let past = try b.add(Subtract(), b.add(Size(axis: 1), mask), b.add(Size(axis: 1), ids))
    let reach = try b.add(Unsqueeze(axis: 1), b.add(Add(), queries, past))
    let causal = try b.add(LessOrEqual(), keys, reach)
    var visible = try b.add(NotEqual(), b.add(Unsqueeze(axis: 1), b.add(Unsqueeze(axis: 1), mask)), b.scalar(0, .int64))
    if let window {
      let near = try b.add(Greater(), keys, b.plus(reach, -Double(window)))
      visible = try b.add(And(), b.add(Unsqueeze(axis: 0), b.add(Unsqueeze(axis: 0), near)), visible)
    }
    return try b.maskBias(b.add(And(), b.add(Unsqueeze(axis: 0), b.add(Unsqueeze(axis: 0), causal)), visible))
  }

  /// The projections `PREFIX.{q,k,v,o}_proj`, rotation, cache and attention of layer `layer`;
  /// `x` [batch, sequence, hidden].
  /// - Parameters:
  ///   - headNorm: normalize each head of queries and keys by `PREFIX.{q,k}_norm` before it is rotated.
  ///   - windowed: see no further back than the window.
  func attention(
    _ x: ValueID, prefix: String, layer: Int, inputBias: Bool, outputBias: Bool, headNorm: Bool = false,
    windowed: Bool = false, _ b: inout GraphBuilder
  ) throws -> ValueID {
    let size = sizes.headSize
    func project(_ name: String, _ count: Int, norm: Bool, _ b: inout GraphBuilder) throws -> ValueID {
      let projected = try b.linear(
        x, "\(prefix).\(name)_proj", outputs: count * size, inputs: sizes.hiddenSize, bias: inputBias)
      var heads = try b.add(Reshape(shape: [0, 0, count, size]), projected)
      if norm { heads = try b.rmsNorm(heads, "\(prefix).\(name)_norm.weight", width: size, epsilon: sizes.epsilon) }
      return try b.add(Transpose(permutation: [0, 2, 1, 3]), heads)
    }
    let queries = try rotate(project("q", sizes.heads, norm: headNorm, &b), &b)
    let keys = try b.throughCache(
      rotate(project("k", sizes.keyValueHeads, norm: headNorm, &b), &b), "\(prefix).k_proj")
    let values = try b.throughCache(project("v", sizes.keyValueHeads, norm: false, &b), "\(prefix).v_proj")
    let mixed = try attend(
      queries, keys, values, scale: 1 / Double(size).squareRoot(), prefix: prefix, layer: layer, windowed: windowed, &b)
    return try b.linear(
      mixed, "\(prefix).o_proj", outputs: sizes.hiddenSize, inputs: sizes.heads * size, bias: outputBias)
  }

  /// Attention of queries [batch, heads, sequence, size] over the keys and values in the cache of layer `layer` and
  /// these; the heads joined, [batch, sequence, heads * size].
  func attend(
    _ queries: ValueID, _ keys: ValueID, _ values: ValueID, scale: Double, prefix: String, layer: Int,
    windowed: Bool = false, _ b: inout GraphBuilder
  ) throws -> ValueID {
    let mixed = try b.within("\(prefix).attention") { b in
      let allKeys = try cached("layers.\(layer).key", keys, &b)
      let allValues = try cached("layers.\(layer).value", values, &b)
      return try b.attention(
        queries, allKeys, allValues, scale: scale, groups: sizes.heads / sizes.keyValueHeads,
        bias: (windowed ? windowBias : nil) ?? bias)
    }
    let width = sizes.heads * (b.type(of: values).dims[3].value ?? 0)
    return try b.add(Reshape(shape: [0, 0, width]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
  }

  /// Past and present rows, [batch, heads, past+sequence, size].
  private func cached(_ name: String, _ present: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    var type = b.type(of: present)
    type.dims[2] = "past"
    let past = b.state(name, type, axis: 2, capacity: sizes.maximumPositions)
    let all = try b.add(Concat(axis: 2), past, present)
    b.update(past, all)
    return all
  }

  /// Rotates the leading dimensions of every head, [batch, heads, sequence, size].
  func rotate(_ x: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
    guard let rotary else { return x }
    return try b.within("rotary") { b in
      guard rotary.size < b.type(of: x).dims[3].value ?? 0 else { return try rotary.apply(x, &b) }
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

  /// `softmax(q · kᵀ · scale + bias) · v`, the bias left out where every query sees all; q [batch, heads, sequence,
  /// size], k and v [batch, heads/groups, total, size].
  mutating func attention(_ q: ValueID, _ k: ValueID, _ v: ValueID, scale: Double, groups: Int, bias: ValueID? = nil)
    throws -> ValueID
  {
    let keys = try repeated(k, groups)
    let values = try repeated(v, groups)
    let product = try add(MatMul(), q, add(Transpose(permutation: [0, 1, 3, 2]), keys))
    let scores = try scale == 1 ? product : multiply(product, scale)
    let wide = try cast(bias.map { try add(Add(), scores, $0) } ?? scores, .float32)
    return try add(MatMul(), cast(add(Softmax(axis: -1), wide), type(of: q).dtype), values)
  }

  /// Each head of [batch, heads, total, size] repeated `groups` times.
  private mutating func repeated(_ x: ValueID, _ groups: Int) throws -> ValueID {
    guard groups > 1, let heads = type(of: x).dims[1].value else { return x }
    let expanded = try add(Expand(shape: [0, 0, groups, 0, 0]), add(Unsqueeze(axis: 2), x))
    return try add(Reshape(shape: [0, heads * groups, -1, type(of: x).dims[3].value ?? -1]), expanded)
  }
}
