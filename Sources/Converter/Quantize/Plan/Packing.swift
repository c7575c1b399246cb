import Quantization
import Tensors

/// A package in which some layers are quantized.
struct Packing {
  let recipe: QuantizationRecipe
  let choice: SchemeChoice
  private let store: TensorStore

  init(_ scheme: String, _ layers: [LinearLayer], _ options: QuantizationOptions, _ store: TensorStore) throws {
    let modules = Set(layers.map(\.module))
    recipe = try QuantizationRecipe(options, modules.isEmpty ? [] : [(scheme, modules)])
    choice = try SchemeChoice(recipe, layers: layers, weights: store)
    self.store = store
  }

  /// Puts what stands for layers into a trial; answers with what is lost of their weights.
  func quantize(
    _ layers: [LinearLayer], _ trial: inout TrialWalk.Trial, threads: Int
  ) throws -> [String: (lost: Double, all: Double)] {
    var lost: [String: (lost: Double, all: Double)] = [:]
    for layer in layers {
      guard let entry = store[layer.weight] else { continue }
      let made = try choice.part(entry, of: store).tensors(of: trial.weights, threads: threads)
      trial.tensors.merge(made.tensors) { $1 }
      lost[layer.module] = (made.lost, made.all)
    }
    return lost
  }
}
