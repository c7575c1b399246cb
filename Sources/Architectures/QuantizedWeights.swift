public import IR
public import Tensors

/// Which weights of a checkpoint are stored in few bits, and how.
public struct QuantizedWeights: Sendable {
  /// The schemes of weights, by their names.
  public var schemes: [TensorName: QuantizedScheme]
  /// The type of the model's own tensors.
  public var checkpoint: DType

  public init(_ schemes: [TensorName: QuantizedScheme] = [:], checkpoint: DType = .float32) {
    self.schemes = schemes
    self.checkpoint = checkpoint
  }
}

extension Graph {
  /// Adds what stands for a weight in a store that has it in few bits, in float32; nil where the store has no tensor of
  /// its name. Throws ``ErrorCode/weights`` when its tensors do not go together.
  public mutating func addStored(
    _ weight: Weight, from weights: TensorStore, _ quantization: QuantizedWeights
  ) throws -> ValueID? {
    guard let entry = weights[weight.name] else { return nil }
    // The graph has one owner while it grows.
    var builder = GraphBuilder(continuing: self, weights: weights, quantization: quantization)
    self = Graph(name: name)
    defer { self = builder.graph }
    let value =
      try builder.quantizedWeight(weight.name, weight.shape) ?? builder.tensor(weight.name, entry.dtype, weight.shape)
    return try builder.cast(value, .float32)
  }
}

extension GraphBuilder {
  /// The weight of this name as a `quantized_weight`, where the checkpoint has it in few bits; nil elsewhere.
  ///
  /// The tensors beside `P.weight` are asked for by the names and shapes that AscendV1 gives them.
  mutating func quantizedWeight(_ name: TensorName, _ shape: [Int]) throws -> ValueID? {
    guard let scheme = quantization.schemes[name], shape.count == 2, name.string.hasSuffix(".weight") else {
      return nil
    }
    let (rows, columns) = (shape[0], shape[1])
    let module = String(name.string.dropLast(".weight".count))
    func part(_ suffix: String, _ dtype: DType, _ shape: [Int], _ b: inout GraphBuilder) throws -> ValueID {
      try b.tensor(TensorName("\(module).\(suffix)"), dtype, shape)
    }
    // Four bits that keep their inputs may also lie row by row.
    let arePairs = scheme.codes == .int4 && !(scheme.keepsInputs && weightEntry(name)?.shape.count == 2)
    let codes = try part("weight", scheme.codes, arePairs ? [rows / 2, columns, 2] : shape, &self)
    for suffix in ["weight_offset", "scale_bias"] { ignore("\(module).\(suffix)") }
    var operands = [codes]
    if scheme.isStatic {
      // The bits of a float stand in the lower half of 64, which are read as two floats.
      let stored = weightEntry(TensorName(module + ".deq_scale"))
      let deqScale =
        try stored?.shape.count == 2
        ? add(Slice(axis: 1, start: 0, end: 1), part("deq_scale", .float32, [rows, 2], &self))
        : add(Unsqueeze(axis: 1), part("deq_scale", .float32, [rows], &self))
      let inputScale = try part("input_scale", .float32, [1], &self)
      let rounded = try cast(cast(inputScale, quantization.checkpoint), .float32)
      operands.append(
        try scheme == .w8a8 ? add(Divide(), deqScale, rounded) : part("weight_scale", .float32, [rows, 1], &self))
      operands += [deqScale, inputScale, try part("input_offset", .float32, [1], &self)]
      operands.append(try part("quant_bias", .int32, [rows], &self))
      if scheme == .w8a8 { ignore("\(module).weight_scale") }
    } else if scheme.isBlocked {
      operands.append(try part("weight_scale", .float8e8m0, [rows, (columns + 31) / 32], &self))
    } else {
      let name = TensorName(module + ".weight_scale")
      let groups = weightEntry(name).flatMap { $0.shape.count == 2 ? $0.shape[1] : nil } ?? 1
      guard groups > 0, columns % groups == 0 else {
        throw BessemerError(
          .weights, "\(quoted(name.string)) has \(groups) groups, which do not divide \(columns) columns")
      }
      operands.append(try tensor(name, .float32, [rows, groups]))
      if scheme.keepsInputs { operands.append(try part("weight_offset", .float32, [rows, groups], &self)) }
    }
    return try addAll(QuantizedWeight(scheme, checkpoint: quantization.checkpoint), operands)[0]
  }

  /// Keys or values [batch, heads, sequence, size] as they come out of a cache of eight bits, where the projection
  /// `NAME` has the scales and offsets of one: `round(x / scale + offset)`, and back.
  mutating func throughCache(_ x: ValueID, _ name: String) throws -> ValueID {
    guard hasWeight("\(name).kv_cache_scale") else { return x }
    return try within(name + ".kv_cache") { b in
      let dims = b.type(of: x).dims
      guard let heads = dims[1].value, let size = dims[3].value else { return x }
      func channels(_ suffix: String, _ b: inout GraphBuilder) throws -> ValueID {
        let stored = try b.tensor(TensorName("\(name).\(suffix)"), .float32, [heads * size])
        return try b.add(Reshape(shape: [1, heads, 1, size]), stored)
      }
      let (scale, offset) = (try channels("kv_cache_scale", &b), try channels("kv_cache_offset", &b))
      let shifted = try b.add(Round(), b.add(Add(), b.add(Divide(), b.cast(x, .float32), scale), offset))
      let codes = try b.add(Clip(minimum: -128, maximum: 127), shifted)
      return try b.cast(b.add(Multiply(), b.add(Subtract(), codes, offset), scale), b.type(of: x).dtype)
    }
  }
}
