import Architectures
import Foundation
import IR
import Passes
import Runtime
import Safetensors
import TestSupport
import Tensors
import Testing

/// A folder of `fixtures/models` made by `make.py`: a model with the outputs that transformers computes.
struct ReferenceModel: CustomTestStringConvertible, Sendable {
  let name: String
  var testDescription: String { name }

  static let all: [ReferenceModel] = {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.folder + "/models")) ?? []
    return folders.sorted().map { ReferenceModel(name: $0) }.filter {
      FileManager.default.fileExists(atPath: $0.path("reference.safetensors"))
    }
  }()

  private func path(_ file: String) -> String { Fixtures.folder + "/models/\(name)/" + file }

  func config() throws -> JSON { try Fixtures.json("models/\(name)/config.json") }

  func reference() throws -> TensorStore { try SafetensorsFile(path: path("reference.safetensors")).store() }

  /// The weights in a type, all of which hold them exactly.
  func weights(_ dtype: DType) throws -> TensorStore {
    var result = TensorStore()
    for entry in try SafetensorsFile(path: path("model.safetensors")).store().entries {
      try result.append(entry.name, entry.tensor().cast(to: dtype))
    }
    return result
  }

  func graph(_ weights: TensorStore, fused: Bool, activation: DType = .float32) throws -> Graph {
    var graph = try buildGraph(config: config(), weights: weights, options: BuildOptions(activation: activation))
    _ = try PassRunner(defaultPasses(fuse: fused)).run(on: &graph)
    return graph
  }

  func session(_ dtype: DType, fused: Bool = true, activation: DType = .float32) throws -> Session {
    let weights = try weights(dtype)
    let graph = try graph(weights, fused: fused, activation: activation)
    return Session(Model(graph, weights: weights, options: RunOptions(threads: 2)))
  }
}

extension TensorStore {
  /// The tensors of one run, `plain.input_ids`, that are inputs or outputs of a graph.
  func run(_ name: String, of graph: Graph) throws -> (inputs: [String: Tensor], outputs: [String: Tensor]) {
    var (inputs, outputs): ([String: Tensor], [String: Tensor]) = ([:], [:])
    for entry in entries where entry.name.string.hasPrefix(name + ".") {
      let key = String(entry.name.string.dropFirst(name.count + 1))
      if graph.input(named: key) != nil { inputs[key] = try entry.tensor() }
      if graph.outputs.contains(where: { $0.name == key }) { outputs[key] = try entry.tensor() }
    }
    return (inputs, outputs)
  }
}

@Suite struct ReferenceModelTests {
  /// The largest difference as a part of the largest value, at the positions that the mask shows.
  private func distance(_ a: Tensor, _ b: Tensor, mask: Tensor? = nil) -> Double {
    guard a.shape == b.shape else { return .infinity }
    let (x, y) = (a.doubles, b.doubles)
    let isPerPosition = mask.map { $0.shape == Array(a.shape.prefix(2)) && a.rank == 3 } ?? false
    let shown = isPerPosition ? mask!.integers.map { $0 != 0 } : [true]
    let width = isPerPosition ? a.shape[2] : max(x.count, 1)
    var (error, scale) = (0.0, 0.0)
    for k in x.indices where shown[k / width] { (error, scale) = (max(error, abs(x[k] - y[k])), max(scale, abs(x[k]))) }
    return error / scale
  }

  @Test(arguments: ReferenceModel.all, [DType.float32, .bfloat16, .float16])
  func agreesWithTransformers(_ model: ReferenceModel, _ dtype: DType) throws {
    let reference = try model.reference()
    var results: [String: [Tensor]] = [:]
    for fused in [true, false] {
      let session = try model.session(dtype, fused: fused)
      for run in ["plain", "masked", "leftpad"] {
        let (inputs, outputs) = try reference.run(run, of: session.model.graph)
        guard !inputs.isEmpty else { continue }
        session.reset()
        let actual = try session.run(inputs)
        #expect(!outputs.isEmpty)
        for (name, tensor) in outputs {
          let other = try #require(actual[name])
          let error = distance(tensor, other, mask: inputs["attention_mask"])
          #expect(error < 1e-4, "\(run) \(name), fused \(fused): \(error)")
          results[run + name, default: []].append(other)
        }
      }
    }
    #expect(results.count >= 2)
    for (name, pair) in results { #expect(distance(pair[0], pair[1]) < 1e-5, "\(name): fused and unfused differ") }
  }

  @Test(arguments: ReferenceModel.all.filter { !$0.name.hasPrefix("bert") })
  func generatesTheSameTokens(_ model: ReferenceModel) throws {
    let reference = try model.reference()
    let prompt = try reference.tensor("greedy.input_ids").integers.map { Int32($0) }
    let expected = try reference.tensor("greedy.tokens").integers.map { Int($0) }
    for fused in [true, false] {
      let generator = try Generator(model.session(.bfloat16, fused: fused))
      #expect(try generator.generate([prompt], count: expected.count) == [expected])
    }
  }

  @Test(arguments: ReferenceModel.all.filter { !$0.name.hasPrefix("bert") })
  func tokenByTokenAgreesWithTransformers(_ model: ReferenceModel) throws {
    let session = try model.session(.float32)
    let (inputs, outputs) = try model.reference().run("plain", of: session.model.graph)
    let (ids, logits) = (try #require(inputs["input_ids"]), try #require(outputs["logits"]))
    let (length, width) = (ids.shape[1], logits.shape[2])
    for position in 0..<length {
      let tokens = (0..<ids.shape[0]).map { ids.integers[$0 * length + position] }
      let actual = try #require(try session.run(["input_ids": Tensor(tokens, shape: [tokens.count, 1])])["logits"])
      let values = logits.floats
      let rows = (0..<tokens.count).flatMap { b -> ArraySlice<Float> in
        let start = (b * length + position) * width
        return values[start..<start + width]
      }
      #expect(distance(Tensor(rows, shape: actual.shape), actual) < 1e-4, "position \(position)")
    }
  }

  @Test(arguments: ReferenceModel.all, [DType.float16, .bfloat16])
  func narrowActivationsStayClose(_ model: ReferenceModel, _ activation: DType) throws {
    let session = try model.session(.bfloat16, activation: activation)
    let (inputs, outputs) = try model.reference().run("plain", of: session.model.graph)
    let actual = try session.run(inputs)
    for (name, tensor) in outputs {
      let error = try distance(tensor, #require(actual[name]))
      #expect(error < (activation == .float16 ? 2e-2 : 1e-1), "\(name): \(error)")
    }
  }

  @Test(arguments: ReferenceModel.all, [true, false])
  func graphsPrintAndParse(_ model: ReferenceModel, _ fused: Bool) throws {
    let graph = try model.graph(model.weights(.bfloat16), fused: fused)
    try graph.verify()
    let again = try Graph(text: graph.text)
    #expect(again.text == graph.text)
    try again.verify()
    // The same input gives the same text.
    #expect(try model.graph(model.weights(.bfloat16), fused: fused).text == graph.text)
  }

  @Test func thereAreModels() { #expect(ReferenceModel.all.count >= 6) }
}
