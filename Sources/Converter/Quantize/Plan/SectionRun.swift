import Architectures
import IR
import Passes
import Quantization
import Runtime
import Tensors

/// A section of a model as the runtime runs it, with some of its linear layers quantized, or none.
struct SectionRun {
  private let part: CalibrationGraph.Part
  private let session: Session

  /// - Parameters:
  ///   - wanted: values to return beside those that are read later.
  ///   - tensors: what stands for the weights that are quantized.
  ///   - scheme: how they are stored.
  init(
    _ graph: CalibrationGraph, _ section: Range<Int>, wanted: Set<ValueID>, _ weights: PreparedWeights,
    _ tensors: [TensorName: Tensor] = [:], _ scheme: (any LinearScheme)? = nil, arithmetic: QuantizedArithmetic,
    threads: Int
  ) throws {
    var store = TensorStore()
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) { try store.append(name, tensor) }
    var quantized = QuantizedWeights()
    if let scheme {
      let names = tensors.keys.filter { $0.string.hasSuffix(".weight") }
      let reader = AscendV1Reader(types: Dictionary(uniqueKeysWithValues: names.map { ($0, scheme.descriptionType) }))
      let schemes = try reader.schemes(store)
      store = try reader.retyped(store, schemes)
      let dtype = try names.first.map { try weights.dtype(of: $0) } ?? .float32
      quantized = QuantizedWeights(schemes, checkpoint: dtype)
    }
    let part = try graph.part(section, wanted: wanted) { try $0.addStored($1, from: store, quantized) }
    self.part = part
    var run = part.graph
    _ = try PassRunner(defaultPasses(arithmetic: arithmetic)).run(on: &run)
    let replacing = Dictionary(uniqueKeysWithValues: try store.entries.map { ($0.name, try $0.tensor()) })
    session = Session(
      Model(run, weights: try weights.store(for: run, replacing: replacing), options: RunOptions(threads: threads)))
  }

  /// Runs the section on the values of a sequence; gives those that are made here.
  func callAsFunction(_ values: [ValueID: Tensor]) throws -> [ValueID: Tensor] {
    var inputs: [String: Tensor] = [:]
    for value in part.inputs { inputs[CalibrationGraph.name(of: value)] = values[value] }
    let results = try session.run(inputs)
    var made: [ValueID: Tensor] = [:]
    for value in part.outputs { made[value] = results[CalibrationGraph.name(of: value)] }
    return made
  }
}
