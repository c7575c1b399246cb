import Architectures
import IR
import TestSupport
import Tensors
import Testing

@Suite struct WeightAccountTests {
  private func failure(_ body: () throws -> Void) -> BessemerError? {
    do {
      try body()
      return nil
    } catch { return error as? BessemerError }
  }

  @Test(arguments: TinyModel.allCases)
  func everyWeightIsMissed(_ model: TinyModel) throws {
    _ = try buildGraph(config: model.config(), weights: model.weights())
    for (name, _) in model.shapes where name != "pooler.dense.weight" {
      let weights = try model.weights(replacing: [name: nil])
      let error = failure { _ = try buildGraph(config: try model.config(), weights: weights) }
      #expect(error?.code == .weights, "without \(name)")
      #expect(error?.details.contains("missing: \(name)") == true, "without \(name): \(error?.message ?? "")")
    }
  }

  @Test func allProblemsAreListed() throws {
    let weights = try TinyModel.llama.weights(
      replacing: [
        "model.layers.0.mlp.up_proj.weight": nil, "model.layers.1.mlp.up_proj.weight": nil,
        "model.norm.weight": TensorType(.float32, shape: [17]), "lm_head.weight": TensorType(.int32, shape: [11, 16]),
      ],
      adding: [
        "model.layers.2.mlp.up_proj.weight": TensorType(.float32, shape: [24, 16]), "extra": TensorType(.float32, shape: []),
      ])
    let error = try #require(failure { _ = try buildGraph(config: try TinyModel.llama.config(), weights: weights) })
    #expect(error.code == .weights)
    #expect(
      error.details == [
        "model.norm.weight is [17], the configuration says [16]", "lm_head.weight is i32, expected floating point",
        "missing: model.layers.0.mlp.up_proj.weight", "missing: model.layers.1.mlp.up_proj.weight", "surplus: extra",
        "surplus: model.layers.2.mlp.up_proj.weight",
      ])
    #expect(error.message.contains("2 missing: model.layers.{0-1}.mlp.up_proj.weight"))
    #expect(error.message.contains("2 surplus: extra, model.layers.2.mlp.up_proj.weight"))
  }

  @Test func computedTablesAreNoSurplus() throws {
    let weights = try TinyModel.llama.weights(
      adding: ["model.layers.0.self_attn.rotary_emb.inv_freq": TensorType(.float32, shape: [4])])
    _ = try buildGraph(config: TinyModel.llama.config(), weights: weights)
    let bert = try TinyModel.bert.weights(adding: ["embeddings.position_ids": TensorType(.int64, shape: [1, 32])])
    _ = try buildGraph(config: TinyModel.bert.config(), weights: bert)
  }

  @Test(arguments: [TinyModel.llama, .glm4])
  func aTiedHeadIsTheEmbedding(_ model: TinyModel) throws {
    let config = try model.config(["tie_word_embeddings": "true"])
    let whole = try model.weights()
    let tied = try model.weights(replacing: ["lm_head.weight": nil])
    for weights in [whole, tied] {
      let graph = try buildGraph(config: config, weights: weights)
      let names = graph.nodeIDs.compactMap { (graph[$0].op as? Weight)?.name.string }
      #expect(names.count { $0 == "model.embed_tokens.weight" } == 1)
      #expect(!names.contains("lm_head.weight"))
    }
    #expect(failure { _ = try buildGraph(config: try model.config(), weights: tied) }?.code == .weights)
  }

  @Test func aPoolerIsOptional() throws {
    let weights = try TinyModel.bert.weights(
      replacing: ["pooler.dense.weight": nil, "pooler.dense.bias": nil])
    let graph = try buildGraph(config: TinyModel.bert.config(), weights: weights)
    #expect(graph.outputs.map(\.name) == ["last_hidden_state"])
  }

  @Test func oldNamesOfBertAreUnderstood() throws {
    var weights = TensorStore()
    for entry in try TinyModel.bert.weights().entries {
      var name = "bert." + entry.name.string
      name.replace("LayerNorm.weight", with: "LayerNorm.gamma")
      name.replace("LayerNorm.bias", with: "LayerNorm.beta")
      try weights.append(TensorName(name), entry.tensor())
    }
    _ = try buildGraph(config: TinyModel.bert.config(), weights: weights)
  }

  @Test(arguments: TinyModel.allCases)
  func storedTypesAreKept(_ model: TinyModel) throws {
    for dtype in [DType.float16, .bfloat16, .float64] {
      let graph = try buildGraph(config: model.config(), weights: model.weights(dtype))
      let types = Set(graph.nodeIDs.compactMap { (graph[$0].op as? Weight)?.dtype })
      #expect(types == [dtype])
      try graph.verify()
    }
  }
}
