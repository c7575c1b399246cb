import IR
import Tensors

extension GlmImageTransformer.Sizes {
  private static let epsilon = 1e-5

  // MARK: Conditions

  /// What modulates all norms, [batch, 1, time]: of the timestep, and of the crop and the size of the image.
  func condition(_ b: inout GraphBuilder) throws -> ValueID {
    let timestep = b.input("timestep", TensorType(.float32, ["batch"]))
    let target = b.input("target_size", TensorType(.float32, ["batch", 2]))
    let crop = b.input("crop_coords", TensorType(.float32, ["batch", 2]), initial: .zeros)
    return try b.within("time_condition_embed") { b in
      let places = try waves(b.add(Concat(axis: 1), crop, target), size: place, &b)
      let sum = try b.add(
        Add(), embedder(waves(timestep, size: time, &b), "timestep_embedder", inputs: time, &b),
        embedder(b.add(Reshape(shape: [0, 4 * place]), places), "condition_embedder", inputs: 4 * place, &b))
      return try b.add(Unsqueeze(axis: 1), b.activate(sum, "silu"))
    }
  }

  private func embedder(_ x: ValueID, _ part: String, inputs: Int, _ b: inout GraphBuilder) throws -> ValueID {
    let name = "time_condition_embed.\(part)"
    let y = try b.linear(b.cast(x, b.activation), "\(name).linear_1", outputs: time, inputs: inputs, bias: true)
    return try b.linear(b.activate(y, "silu"), "\(name).linear_2", outputs: time, inputs: time, bias: true)
  }

  /// Cosines and then sines of numbers times size/2 falling frequencies, [..., size].
  private func waves(_ x: ValueID, size: Int, _ b: inout GraphBuilder) throws -> ValueID {
    // In float32, as the frameworks have them.
    let step = -Float(naturalLogarithm(10000))
    let frequencies = (0..<size / 2).map { Float(exponential(Double(step * Float($0) / Float(size / 2)))) }
    let angles = try b.add(
      Multiply(), b.add(Unsqueeze(axis: -1), x), b.constant(Tensor(frequencies, shape: [size / 2])))
    return try b.add(Concat(axis: -1), b.add(Cos(), angles), b.add(Sin(), angles))
  }

  /// A linear layer, an activation and another, `NAME.net`.
  func projector(_ x: ValueID, _ name: String, inputs: Int, _ activation: String, _ b: inout GraphBuilder) throws
    -> ValueID
  {
    let y = try b.linear(x, "\(name).net.0.proj", outputs: width, inputs: inputs, bias: true)
    return try b.linear(b.activate(y, activation), "\(name).net.2", outputs: width, inputs: width, bias: true)
  }

  /// Rotations of patches by row and by column, half of a head's pairs each; `patches` [batch, height, width, …].
  func rotary(over patches: ValueID, _ b: inout GraphBuilder) throws -> Decoder.Rotary {
    let pairs = headSize / 4
    let frequencies = (0..<pairs).map { Float(exponential(-naturalLogarithm(10000) * Double($0) / Double(pairs))) }
    let rows = try b.cast(b.add(Unsqueeze(axis: 1), b.add(Iota(axis: 1), patches)), .float32)
    let columns = try b.cast(b.add(Unsqueeze(axis: 0), b.add(Iota(axis: 2), patches)), .float32)
    func angles(_ places: ValueID, along other: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
      let grid = try b.add(Add(), places, b.multiply(other, 0))
      return try b.add(Multiply(), b.add(Unsqueeze(axis: 2), grid), b.constant(Tensor(frequencies, shape: [pairs])))
    }
    let both = try b.add(Concat(axis: 2), angles(rows, along: columns, &b), angles(columns, along: rows, &b))
    return try Decoder.Rotary(
      b.add(Reshape(shape: [1, 1, -1, 2 * pairs]), both), 1, size: headSize, interleaved: false, &b)
  }

  // MARK: Blocks

  /// `count` parts of a linear layer of the condition, [batch, 1, width] each.
  func modulation(_ condition: ValueID, _ name: String, count: Int, _ b: inout GraphBuilder) throws -> [ValueID] {
    let all = try b.linear(condition, name, outputs: count * width, inputs: time, bias: true)
    return try b.within(name) {
      try $0.addAll(Split(axis: 2, sizes: [Int](repeating: width, count: count)), [all])
    }
  }

  /// `norm(x) · (1 + scale) + shift`, the norm without weights.
  func modulated(_ x: ValueID, scale: ValueID, shift: ValueID, _ name: String, _ b: inout GraphBuilder) throws
    -> ValueID
  {
    try b.within(name) { b in
      let y = try b.layerNorm(x, epsilon: Self.epsilon)
      return try b.add(Add(), b.add(Multiply(), y, b.plus(scale, 1)), shift)
    }
  }

  /// One block: attention of the image's patches x and the text's glyphs y over both and what the cache holds, and a
  /// feed-forward network that both share.
  func block(
    _ x: ValueID, _ y: ValueID, _ condition: ValueID, _ rotary: Decoder.Rotary, _ layer: Int, capacity: Int,
    _ b: inout GraphBuilder
  ) throws -> (x: ValueID, y: ValueID) {
    let name = "transformer_blocks.\(layer)"
    // In turn for the image and for the text: shift, scale and gate of attention, then those of the network.
    let m = try modulation(condition, "\(name).norm1.linear", count: 12, &b)
    let image = try heads(modulated(x, scale: m[2], shift: m[0], "\(name).norm1", &b), name, rotary, &b)
    let text = try heads(modulated(y, scale: m[3], shift: m[1], "\(name).norm1_context", &b), name, nil, &b)
    let (keys, values) = try b.within("\(name).attn1") { b in
      (
        try cached("layers.\(layer).key", b.add(Concat(axis: 2), text.key, image.key), capacity, &b),
        try cached("layers.\(layer).value", b.add(Concat(axis: 2), text.value, image.value), capacity, &b)
      )
    }
    func attend(_ queries: ValueID, _ x: ValueID, gate: ValueID, _ b: inout GraphBuilder) throws -> ValueID {
      let mixed = try b.within("\(name).attn1") { b in
        try b.attention(queries, keys, values, scale: 1 / Double(headSize).squareRoot(), groups: 1)
      }
      let joined = try b.add(Reshape(shape: [0, 0, width]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
      let output = try b.linear(joined, "\(name).attn1.to_out.0", outputs: width, inputs: width, bias: true)
      return try b.within(name) { try $0.add(Add(), x, $0.add(Multiply(), output, gate)) }
    }
    func feedForward(_ x: ValueID, _ m: [ValueID], _ b: inout GraphBuilder) throws -> ValueID {
      let input = try modulated(x, scale: m[1], shift: m[0], "\(name).norm2", &b)
      let inner = try b.linear(input, "\(name).ff.net.0.proj", outputs: 4 * width, inputs: width, bias: true)
      let output = try b.linear(
        b.activate(inner, "gelu_new"), "\(name).ff.net.2", outputs: width, inputs: 4 * width, bias: true)
      return try b.within(name) { try $0.add(Add(), x, $0.add(Multiply(), output, m[2])) }
    }
    let (x, y) = (try attend(image.query, x, gate: m[4], &b), try attend(text.query, y, gate: m[5], &b))
    return (try feedForward(x, [m[6], m[8], m[10]], &b), try feedForward(y, [m[7], m[9], m[11]], &b))
  }

  /// Queries, keys and values, [batch, heads, length, size]; queries and keys normalized and, in an image, rotated.
  private func heads(_ x: ValueID, _ name: String, _ rotary: Decoder.Rotary?, _ b: inout GraphBuilder) throws -> (
    query: ValueID, key: ValueID, value: ValueID
  ) {
    func project(_ part: String, norm: Bool, _ b: inout GraphBuilder) throws -> ValueID {
      let y = try b.linear(x, "\(name).attn1.\(part)", outputs: width, inputs: width, bias: true)
      return try b.within("\(name).attn1.\(part)") { b in
        let split = try b.add(Reshape(shape: [0, 0, heads, headSize]), y)
        let normal = norm ? try b.layerNorm(split, epsilon: Self.epsilon) : split
        let result = try b.add(Transpose(permutation: [0, 2, 1, 3]), normal)
        return norm ? try rotary?.apply(result, &b) ?? result : result
      }
    }
    return (
      try project("to_q", norm: true, &b), try project("to_k", norm: true, &b), try project("to_v", norm: false, &b)
    )
  }

  /// What a state holds and these, [batch, heads, past + length, size].
  private func cached(_ name: String, _ present: ValueID, _ capacity: Int, _ b: inout GraphBuilder) throws -> ValueID {
    var type = b.type(of: present)
    type.dims[2] = "past"
    let past = b.state(name, type, axis: 2, capacity: capacity)
    let all = try b.add(Concat(axis: 2), past, present)
    b.update(past, all)
    return all
  }
}
