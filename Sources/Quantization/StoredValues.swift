internal import IR
public import Tensors

extension LinearScheme {
  /// The numbers that the bytes of some rows stand for when a package runs, [rows, columns].
  ///
  /// - Parameter made: what ``quantize(_:)`` made of the rows.
  /// - Throws: ``ErrorCode/unsupportedFeature`` for a scheme that no operator of ours multiplies.
  public func values(_ rows: WeightRows, _ made: [Bytes]) throws -> [Float] {
    let module = rows.weight.module
    let part = try LinearWeight(module: module, rows.weight.dtype, shape: [rows.range.count, rows.weight.columns])
    var store = TensorStore()
    for (tensor, bytes) in zip(tensors(part), made) where bytes.count > 0 {
      try store.append(
        TensorName("\(module).\(tensor.suffix)"), Tensor(tensor.dtype, shape: tensor.shape, bytes: bytes))
    }
    let reader = AscendV1Reader(types: [TensorName(module + ".weight"): descriptionType])
    let schemes = try reader.schemes(store)
    store = try reader.retyped(store, schemes)
    func tensor(_ suffix: String) throws -> Tensor { try store.tensor(TensorName("\(module).\(suffix)")) }
    guard let scheme = schemes[TensorName(module + ".weight")] else { return try tensor("weight").floats }
    var (codes, scale) = (scheme, try tensor(scheme.isStatic ? "deq_scale" : "weight_scale"))
    if scheme.isStatic {
      // Scales of results are those of weights times that of the input, as it is rounded to the model's type.
      let input = WeightCodes.round(rows.input?.scale ?? 1, to: rows.weight.dtype)
      let step = scale.shape.count == 2 ? 2 : 1
      let scales = scale.floats.enumerated().filter { $0.offset % step == 0 }.map { $0.element / input }
      (codes, scale) = (.w8a8Dynamic, Tensor(scales, shape: [part.rows, 1]))
    }
    let others = codes.keepsInputs ? [try tensor("weight_offset")] : []
    let op = QuantizedWeight(codes, checkpoint: part.dtype)
    let operands = [try tensor("weight"), scale] + others
    do { _ = try op.infer(operands.map(\.type)) } catch {
      throw BessemerError(.unsupportedFeature, "\(name) does not run: \(error)")
    }
    return try op.evaluate(operands)[0].floats
  }

  /// The scheme that rounds the inputs of a layer as this one does when it runs; nil where they stay as they are or
  /// have a range of their own.
  public var inputs: (any LinearScheme)? {
    guard quantizesInputs, !needsInputGrid else { return nil }
    switch QuantizedScheme(rawValue: descriptionType) {
    case .w8a8Dynamic, .w4a8Dynamic: return W8A8Dynamic()
    case .w4a4Dynamic: return W4A4Dynamic()
    case .fp8: return FP8()
    case .mxfp8, .w4a8MX: return MXFP8()
    case .mxfp4: return MXFP4()
    default: return nil
    }
  }
}
