public import IR
import Checkpoints
public import Tensors

/// The inputs of a model, from files or made up.
public enum ModelInputs {
  /// Reads `NAME=FILE.npy` arguments; integers of other widths become what the model takes when they fit.
  public static func read(_ arguments: [String], for graph: Graph) throws -> [String: Tensor] {
    var inputs: [String: Tensor] = [:]
    for argument in arguments {
      guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else {
        throw BessemerError(.usage, "an input is NAME=FILE.npy, not \(quoted(argument))")
      }
      let name = String(argument[..<equals])
      let path = String(argument[argument.index(after: equals)...])
      guard inputs[name] == nil else { throw BessemerError(.usage, "input \(quoted(name)) is given twice") }
      guard let input = graph.input(named: name) else {
        let known = graph.inputs.map(\.name).joined(separator: ", ")
        throw BessemerError(.modelInput, "the model has no input \(quoted(name)); it takes \(known)", file: path)
      }
      inputs[name] = try inFile(path) { try adapted(NPY.read(path: path), to: graph.type(of: input.value).dtype, name) }
    }
    return inputs
  }

  private static func adapted(_ tensor: Tensor, to dtype: DType, _ name: String) throws -> Tensor {
    if tensor.dtype == dtype { return tensor }
    let isWhole = tensor.dtype.isInteger || tensor.dtype == .bool
    guard isWhole, tensor.dtype != .uint64, dtype == .int64 else {
      guard tensor.dtype.isFloat, dtype.isFloat else {
        throw BessemerError(
          .modelInput, "input \(quoted(name)) is \(tensor.dtype.longName), expected \(dtype.longName)")
      }
      return try tensor.cast(to: dtype)
    }
    return Tensor(tensor.integers, shape: tensor.shape)
  }

  /// Token ids below `vocabulary`, the same for the same seed: what models are compared on when no input is given.
  public static func sample(batch: Int, length: Int, vocabulary: Int, seed: UInt64) -> [String: Tensor] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    let ids = (0..<batch * length).map { _ -> Int64 in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int64((state >> 33) % UInt64(max(vocabulary, 1)))
    }
    return ["input_ids": Tensor(ids, shape: [batch, length])]
  }
}
