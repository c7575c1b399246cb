import IR
import Quantization
import Tensors

/// How far the inputs of linear layers reach over half of the data, and over all of it.
public struct RangeGrowth: Sendable {
  public struct Layer: Sendable {
    public let module: String
    /// The largest magnitude in the first half of the sequences, and in all.
    public let half: Float
    public let all: Float
  }

  public let layers: [Layer]

  /// The layers whose range grows by more than a tenth in the second half, the most first.
  public var growing: [Layer] {
    layers.filter { $0.all > 1.1 * $0.half }.sorted { ($0.all / $0.half, $1.module) > ($1.all / $1.half, $0.module) }
  }

  public var share: Double { layers.isEmpty ? 0 : Double(growing.count) / Double(layers.count) }

  init(_ model: LoadedModel, _ sequences: [[Int32]], threads: Int) throws {
    let graph = try CalibrationGraph(model.graph)
    let sites = LinearFinder(graph.graph).sites().filter { $0.expertPart == nil && $0.layer.role != .head }
    var run = try CalibrationRun(graph, sequences, threads: threads)
    let weights = PreparedWeights(model.weights)
    let half = (sequences.count + 1) / 2
    let found = Collected<(value: ValueID, largest: Float)>()
    for section in graph.sections {
      var watch = CalibrationRun.Watch()
      watch.observed = Set(sites.filter { section.contains(graph.place(of: $0.node)) }.map(\.input))
      watch.observe = { value, tensor in
        guard let (least, greatest) = try range(of: tensor.floats) else { return }
        found.all.append((value, max(-least, greatest)))
      }
      try run.run(section, weights, watch)
    }
    let sizes = Dictionary(grouping: found.all, by: \.value).mapValues { $0.map(\.largest) }
    layers = sites.compactMap { site in
      guard let sizes = sizes[site.input], let first = sizes.prefix(half).max(), let all = sizes.max() else {
        return nil
      }
      return Layer(module: site.layer.module, half: first, all: all)
    }
  }
}
