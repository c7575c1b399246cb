import IR
import Quantization
import Tensors

/// What is found out while sequences run.
final class Observations {
  var sizes: [ValueID: ChannelSizes] = [:]
  var observers: [RoundedValue: any InputObserver] = [:]
  var moments: [RoundedValue: SecondMoments] = [:]
  var ranges: [ValueID: CacheRanges] = [:]
  /// For each head, by the name of an operand of attention.
  var recalls: [String: [RecallRange]] = [:]
  /// For searches by the outputs of layers.
  var inputs: [ValueID: SecondMoments] = [:]

  func observe(_ value: ValueID, _ tensor: Tensor, _ threads: KernelThreads) throws {
    let rows = try Matrix(tensor)
    try inputs[value, default: SecondMoments(inputs: rows.columns)].observe(rows, threads)
  }

  /// What layers read instead of a value once it is quantized.
  func round(_ value: RoundedValue, _ tensor: Tensor, _ step: QuantizationRecipe.Linear) throws -> Tensor {
    guard step.scheme.needsInputGrid else {
      return step.scheme.quantizesInputs ? try RoundTrip.input(tensor) : tensor
    }
    var observer = observers[value] ?? step.input.observer(isSymmetric: step.isInputSymmetric, isV0: step.isV0)
    try observer.observe(tensor)
    observers[value] = observer
    return step.scheme is W8A8Mix ? try RoundTrip.input(tensor) : try observer.roundTrip(tensor)
  }
}

/// How the input of a quantized layer is rounded when it runs in calibration.
struct LinearRounding: Equatable {
  let scheme: any LinearScheme
  let grid: InputGrid?

  static func == (a: LinearRounding, b: LinearRounding) -> Bool {
    a.scheme.name == b.scheme.name && a.scheme.groupSize == b.scheme.groupSize && a.grid == b.grid
  }

  func round(_ tensor: Tensor) throws -> Tensor {
    if let grid { return try grid.roundTrip(tensor) }
    guard case .whole = scheme.grid else { return tensor }
    return try RoundTrip.inputs(Matrix(tensor), scheme, tensor.dtype).tensor(tensor.dtype, shape: tensor.shape)
  }
}
