import Checkpoints
import Runtime
import Tensors

/// The tensors of a model as a GGUF file has them, before any is encoded.
struct BlockTensors {
  /// A tensor that may be encoded in blocks.
  struct Matrix: Sendable {
    let name: TensorName
    let expression: TensorExpression
    /// Bytes of it as the model has it.
    let plainByteCount: Int
    /// Whether it makes the output.
    let isHead: Bool

    var width: Int { expression.shape.last ?? 0 }

    /// Bytes in an encoding, or as it is; nil when rows are no whole blocks.
    func byteCount(_ type: BlockType?) -> Int? {
      guard let type else { return plainByteCount }
      return type.byteCount(shape: expression.shape)
    }

    /// Some rows in float32, one at random from each of as many equal parts; the same each time for a name.
    ///
    /// Throws ``ErrorCode/weights`` for NaN and infinity.
    func sample(rows count: Int) throws -> [Float] {
      let sizes = expression.shape.dropLast()
      let all = sizes.reduce(1, *)
      let parts = min(all, max(1, count))
      var random = SplitMix64(naming: name.string)
      var values: [Float] = []
      for part in 0..<parts {
        let (low, high) = (part * all / parts, (part + 1) * all / parts)
        var row = min(high - 1, low + Int(random.unit() * Double(high - low)))
        var one = expression
        for axis in sizes.indices.reversed() {
          one = try one.sliced(axis: axis, first: row % sizes[axis], count: 1)
          row /= sizes[axis]
        }
        _ = try one.cast(to: .float32).forEachPiece { bytes in
          values += try Tensor(.float32, shape: [bytes.count / 4], bytes: bytes).floats
        }
      }
      for source in expression.sources { try source.window()?.releasePages() }
      guard values.allSatisfy(\.isFinite) else {
        throw BessemerError(.weights, "tensor \(quoted(name.string)) holds NaN or infinity")
      }
      return values
    }
  }

  let store: TensorStore
  let matrices: [Matrix]
  /// Bytes of all other tensors, and of what stands before them all in the file.
  let rest: (byteCount: Int, headerByteCount: Int)
  /// Numbers of all tensors.
  let elementCount: Int

  /// Reads the headers of a model's folder, or of a GGUF file.
  init(_ model: String) throws {
    var (options, format) = (ConversionOptions(), GGUF())
    options.format = BlockQuantization.format
    let source = try CheckpointFormats.format(at: model)
    store = try options.reading.applied(to: source).read(model)
    let translation = try GGUFTranslation(store, from: source, model, to: format, options)
    let tensors = try translation?.tensors ?? Conversion.mapped(store, model, options)
    let planned = try Conversion.typed(tensors, options.types, model, translation?.isExact)
    let entries = planned.map { $0.entry([:]) }
    let metadata =
      try translation.map { try $0.metadata(entries.map { ($0.name, $0.shape, $0.storedWord) }) }
      ?? Conversion.metadata(store, planned)
    let head: TensorName =
      tensors.contains { $0.name == "output.weight" } ? "output.weight" : "token_embd.weight"
    var (matrices, byteCount): ([Matrix], Int) = ([], 0)
    var header = format.headByteCount(entries, metadata: metadata)
    for (tensor, entry) in zip(tensors, entries) {
      let (type, size) = (tensor.expression.type, entry.storedByteCount ?? 0)
      if TypeRules.commonTypes.contains(type.dtype), tensor.expression.shape.count >= 2,
        translation?.isExact(tensor.name, tensor.expression.shape) != true
      {
        matrices.append(
          Matrix(
            name: tensor.name, expression: tensor.expression, plainByteCount: size, isHead: tensor.name == head))
      } else {
        byteCount += size
        header += -size & (GGUF.defaultAlignment - 1)
      }
    }
    self.matrices = matrices
    rest = (byteCount, header)
    elementCount = entries.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// The squares of what an encoding loses of whole rows, by their squares.
  static func error(_ type: BlockType, of values: [Float]) throws -> Double {
    let blocks = try Bytes(byteCount: values.count / type.elementCount * type.byteCount) { target in
      _ = values.withUnsafeBytes { type.encode($0, to: target) }
    }
    var stored = values
    stored.withUnsafeMutableBytes { type.decode(0..<values.count, of: blocks, to: $0) }
    return RowSample.error(values, stored)
  }
}
