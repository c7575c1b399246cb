import Architectures
import Foundation
import IR
import Passes
import Runtime
import Safetensors
import TestSupport
import Tensors
import Testing

/// A folder of `fixtures/glm_image` made by `make.py`: a tiny GLM-Image in `model` with what transformers and diffusers
/// compute in `ref`.
struct GlmImageModel: CustomTestStringConvertible, Sendable {
  let name: String
  var testDescription: String { name }

  static let all: [GlmImageModel] = {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.folder + "/glm_image")) ?? []
    return folders.sorted().map { GlmImageModel(name: $0) }.filter {
      FileManager.default.fileExists(atPath: $0.path("model/vision_language_encoder/config.json"))
    }
  }()

  func path(_ file: String) -> String { Fixtures.folder + "/glm_image/\(name)/" + file }

  func json(_ file: String) throws -> JSON { try Fixtures.json("glm_image/\(name)/model/" + file) }

  func reference(_ file: String) throws -> TensorStore {
    try SafetensorsFile(path: path("ref/\(file).safetensors")).store()
  }

  func weights(_ component: String) throws -> TensorStore {
    try SafetensorsCheckpoint.read(path("model/" + component))
  }

  /// The graphs of a component, with outputs that `taps` adds to them before any pass.
  func graphs(
    _ component: String, fused: Bool, activation: DType = .float32, taps: (inout Graph) throws -> Void = { _ in }
  ) throws -> [String: Graph] {
    let built = try buildComponents(
      config: json(component + "/config.json"), weights: weights(component),
      options: BuildOptions(activation: activation))
    return Dictionary(
      uniqueKeysWithValues: try built.map { part in
        var graph = part.graph
        try taps(&graph)
        _ = try PassRunner(defaultPasses(fuse: fused)).run(on: &graph)
        return (part.name, graph)
      })
  }

  func session(
    _ component: String, _ part: String, fused: Bool = true, activation: DType = .float32,
    taps: (inout Graph) throws -> Void = { _ in }
  ) throws -> Session {
    let graph = try graphs(component, fused: fused, activation: activation, taps: taps)[part]
    return Session(
      Model(try #require(graph), weights: try weights(component), options: RunOptions(threads: 2)))
  }
}

extension Graph {
  /// Makes what the first node of this name reads an output; no such node is no tap.
  mutating func tap(_ output: String, before name: String) {
    guard let node = nodeIDs.map({ self[$0] }).first(where: { $0.name == name }) else { return }
    addOutput(output, node.operands[0])
  }

  /// Makes what the last node of this name computes an output.
  mutating func tap(_ output: String, after name: String) {
    guard let node = nodeIDs.map({ self[$0] }).last(where: { $0.name == name }) else { return }
    addOutput(output, node.results[0])
  }
}

extension Tensor {
  /// The largest difference as a part of this tensor's largest value, where `mask`, over the leading dimensions, is not
  /// zero; infinite for other shapes.
  func distance(to other: Tensor, mask: Tensor? = nil) -> Double {
    guard shape == other.shape else { return .infinity }
    let (x, y) = (doubles, other.doubles)
    let shown: [Bool] = mask.map { $0.integers.map { $0 != 0 } } ?? [true]
    let width = max(x.count / shown.count, 1)
    var (error, scale) = (0.0, 0.0)
    for k in x.indices where shown[k / width] { (error, scale) = (max(error, abs(x[k] - y[k])), max(scale, abs(x[k]))) }
    return error / scale
  }
}
