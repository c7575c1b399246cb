import Architectures
import IR
import Passes
import TestSupport
import Tensors
import Testing

/// A tiny model in an activation type for a target: everything that can fuse does.
struct ModelCase: CustomTestStringConvertible, Sendable {
  let model: TinyModel
  let activation: DType
  let target: String?

  var testDescription: String { "\(model) \(activation) \(target ?? "runtime")" }

  static let all: [ModelCase] = TinyModel.allCases.flatMap { model in
    [DType.float32, .float16, .bfloat16].flatMap { activation in
      [nil, "Ascend910B3", "Ascend310P3"].map { ModelCase(model: model, activation: activation, target: $0) }
    }
  }

  /// How often each fused operator is made, whatever the target.
  var fused: [String: Int] {
    switch model {
    case .bert: ["attention": 2, "gelu": 2, "layer_norm": 5, "linear": 13, "linear with bias": 13, "merged qkv": 2]
    case .glm4:
      [
        "attention": 2, "linear": 13, "linear with bias": 6, "merged qkv": 2, "rms_norm": 9, "rotary_embedding": 4, "silu": 2,
        "swiglu": 2,
      ]
    case .llama:
      [
        "attention": 2, "linear": 15, "merged gate and up": 2, "merged qkv": 2, "rms_norm": 5, "rotary_embedding": 4, "silu": 2,
      ]
    }
  }

  /// How often each operator of the target is made, `AddRmsNorm` and `RmsNorm` counted together.
  var lowered: [String: Int] {
    guard target != nil else { return model == .bert ? ["linear with activation": 3] : [:] }
    let isSmall = target == "Ascend310P3"
    if isSmall, activation == .bfloat16 { return [:] }
    let attention = isSmall ? (activation == .float16 ? ["PromptFlashAttention": 2] : [:]) : ["FlashAttentionScore": 2]
    let norms = isSmall && activation == .float32 ? [:] : ["LayerNormV4": 5]
    switch model {
    case .bert: return attention.merging(norms) { a, _ in a }.merging(["GeluV2": 2]) { a, _ in a }
    case .glm4: return attention.merging(["RmsNorm": 9, "RotaryMul": 4, "SwiGlu": 2]) { a, _ in a }
    case .llama: return attention.merging(["RmsNorm": 5, "RotaryMul": 4, "SwiGlu": 2]) { a, _ in a }
    }
  }
}

@Suite struct ModelFusionTests {
  @Test(arguments: ModelCase.all)
  func everythingFuses(_ item: ModelCase) throws {
    let weights = try item.model.weights()
    let graph = try buildGraph(
      config: item.model.config(), weights: weights, options: BuildOptions(activation: item.activation))
    var fused = graph
    let target = try item.target.map { try #require(Target(named: $0)) }
    let report = try PassRunner(defaultPasses(target: target)).run(on: &fused)

    var counts: [String: Int] = [:]
    for (result, count) in report.made {
      let name = result.hasPrefix("ascend.") ? String(result.dropFirst(7)) : result
      counts[name == "AddRmsNorm" ? "RmsNorm" : name, default: 0] += count
    }
    #expect(counts == item.fused.merging(item.lowered) { a, _ in a })
    if item.target == nil { #expect(report.declined.isEmpty, "\(report.declined)") }
    if item.target == "Ascend310P3", item.activation == .bfloat16 {
      #expect(report.declined.allSatisfy { $0.reason.hasSuffix("not bf16") || $0.reason.contains("has no such") })
      #expect(!report.declined.isEmpty)
    }
    let epsilons = fused.nodeIDs.compactMap { id -> Double? in
      switch fused[id].op {
      case let op as LayerNorm: op.epsilon
      case let op as RMSNorm: op.epsilon
      case let op as Ascend.LayerNormV4: op.epsilon
      case let op as Ascend.RmsNorm: op.epsilon
      case let op as Ascend.AddRmsNorm: op.epsilon
      default: nil
      }
    }
    #expect(Set(epsilons) == [item.model == .bert ? 1e-12 : 1e-5])
    #expect(try Graph(text: fused.text).text == fused.text)

    // The meaning is the same; narrow types round in fewer places.
    let ids = Tensor([3, 1, 4, 1, 5, 9, 2, 6] as [Int64], shape: [2, 4])
    let mask = Tensor([0, 1, 1, 1, 1, 1, 1, 1] as [Int64], shape: [2, 4])
    let inputs = ["input_ids": ids, "attention_mask": mask]
    let a = try Interpreter(graph, weight: weights.tensor).run(inputs)
    let b = try Interpreter(fused, weight: weights.tensor).run(inputs)
    let tolerance = item.activation == .float32 ? 1e-5 : item.activation == .float16 ? 1e-2 : 8e-2
    for (name, tensor) in a.outputs {
      let other = try #require(b.outputs[name])
      let scale = tensor.doubles.reduce(0) { max($0, abs($1)) }
      let error = zip(tensor.doubles, other.doubles).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(error <= tolerance * scale, "\(name): \(error / scale)")
    }
    for (name, state) in a.states { #expect(state.type == b.states[name]?.type) }
  }
}
