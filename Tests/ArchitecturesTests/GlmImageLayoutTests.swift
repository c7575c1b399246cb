import Architectures
import IR
import Passes
import TestSupport
import Tensors
import Testing

/// The published GLM-Image: names, shapes and configuration of the weights, none of which are read.
enum PublishedGlmImage {
  /// The `vision_language_encoder`.
  static let config = """
    {"model_type": "glm_image", "dtype": "bfloat16", "tie_word_embeddings": false,
     "image_token_id": 167855, "image_start_token_id": 16384, "image_end_token_id": 16385,
     "text_config": {"model_type": "glm_image_text", "vocab_size": 168064, "vision_vocab_size": 16512,
       "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40, "num_attention_heads": 32,
       "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-05, "attention_bias": true,
       "max_position_embeddings": 131072, "pad_token_id": 167841, "eos_token_id": 16385,
       "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "partial_rotary_factor": 0.5}},
     "vision_config": {"model_type": "glm_image_vision", "depth": 40, "hidden_size": 1536, "num_heads": 16,
       "intermediate_size": 6144, "patch_size": 16, "image_size": 2048, "spatial_merge_size": 1,
       "layer_norm_eps": 1e-06, "hidden_act": "gelu", "attention_bias": true, "in_channels": 3},
     "vq_config": {"model_type": "glm_image_vqmodel", "embed_dim": 2048, "num_embeddings": 16384,
       "latent_channels": 1536}}
    """

  static var shapes: [(name: String, shape: [Int])] {
    func dense(_ name: String, _ shape: [Int]) -> [(String, [Int])] {
      [("\(name).weight", shape), ("\(name).bias", [shape[0]])]
    }
    let (hidden, inner, width) = (4096, 13696, 1536)
    let language = (0..<40).flatMap { layer -> [(String, [Int])] in
      let prefix = "model.language_model.layers.\(layer)"
      let norms = ["input", "post_self_attn", "post_attention", "post_mlp"].map { "\(prefix).\($0)_layernorm.weight" }
      return dense("\(prefix).self_attn.q_proj", [4096, hidden]) + dense("\(prefix).self_attn.k_proj", [256, hidden])
        + dense("\(prefix).self_attn.v_proj", [256, hidden]) + norms.map { ($0, [hidden]) } + [
          ("\(prefix).self_attn.o_proj.weight", [hidden, 4096]),
          ("\(prefix).mlp.gate_up_proj.weight", [2 * inner, hidden]),
          ("\(prefix).mlp.down_proj.weight", [hidden, inner]),
        ]
    }
    let vision = (0..<40).flatMap { layer -> [(String, [Int])] in
      let prefix = "model.visual.blocks.\(layer)"
      return dense("\(prefix).norm1", [width]) + dense("\(prefix).norm2", [width])
        + dense("\(prefix).attn.qkv", [3 * width, width]) + dense("\(prefix).attn.proj", [width, width])
        + dense("\(prefix).mlp.fc1", [6144, width]) + dense("\(prefix).mlp.fc2", [width, 6144])
    }
    let tables = [
      ("model.language_model.embed_tokens.weight", [168064, hidden]), ("model.language_model.norm.weight", [hidden]),
      ("lm_head.weight", [16512, hidden]), ("model.visual.embeddings.position_embedding.weight", [16384, width]),
      ("model.vqmodel.quantize.embedding.weight", [16384, 2048]),
    ]
    return language + vision + tables + dense("model.visual.patch_embed.proj", [width, 3, 16, 16])
      + dense("model.vqmodel.quant_conv", [2048, width, 1, 1])
      + dense("model.vqmodel.post_quant_conv", [width, 2048, 1, 1])
  }

  /// The `text_encoder`.
  static let glyphConfig = """
    {"model_type": "t5", "vocab_size": 384, "d_model": 1472, "d_kv": 64, "d_ff": 3584, "num_layers": 12,
     "num_heads": 6, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06,
     "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}
    """

  static var glyphShapes: [(name: String, shape: [Int])] {
    let (width, joined, inner) = (1472, 384, 3584)
    let layers = (0..<12).flatMap { layer -> [(String, [Int])] in
      let prefix = "encoder.block.\(layer).layer"
      return ["q", "k", "v"].map { ("\(prefix).0.SelfAttention.\($0).weight", [joined, width]) } + [
        ("\(prefix).0.SelfAttention.o.weight", [width, joined]), ("\(prefix).0.layer_norm.weight", [width]),
        ("\(prefix).1.layer_norm.weight", [width]), ("\(prefix).1.DenseReluDense.wi_0.weight", [inner, width]),
        ("\(prefix).1.DenseReluDense.wi_1.weight", [inner, width]),
        ("\(prefix).1.DenseReluDense.wo.weight", [width, inner]),
      ]
    }
    return layers + [
      ("shared.weight", [384, width]), ("encoder.final_layer_norm.weight", [width]),
      ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", [32, 6]),
    ]
  }

  /// Weights of which only names, types and shapes are known.
  static func store(_ shapes: [(name: String, shape: [Int])]) throws -> TensorStore {
    var store = TensorStore()
    for (name, shape) in shapes {
      try store.append(
        TensorStore.Entry(TensorName(name), .bfloat16, shape: shape, file: "header") {
          throw BessemerError(.truncated, "\(name) was read")
        })
    }
    return store
  }
}

@Suite struct GlmImageLayoutTests {
  private func elementCount(_ shapes: [(name: String, shape: [Int])]) -> Int {
    shapes.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// What the graphs read, each weight once.
  private func weights(of graphs: [Graph]) -> Set<String> {
    Set(graphs.flatMap { graph in graph.nodeIDs.compactMap { (graph[$0].op as? Weight)?.name.string } })
  }

  @Test func thePublishedModelBuildsFromHeaders() throws {
    let shapes = PublishedGlmImage.shapes
    #expect(shapes.count == 1011)
    #expect(elementCount(shapes) == 10_114_245_632)
    let components = try buildComponents(
      config: JSON.parse(PublishedGlmImage.config), weights: PublishedGlmImage.store(shapes))
    #expect(components.map(\.name) == ["language", "vision"])
    let unused = Set(shapes.map(\.name)).subtracting(weights(of: components.map(\.graph)))
    #expect(unused == ["model.vqmodel.post_quant_conv.weight", "model.vqmodel.post_quant_conv.bias"])
    for component in components {
      var graph = component.graph
      _ = try PassRunner(defaultPasses()).run(on: &graph)
      try graph.verify()
      let attentions = graph.nodeIDs.count { graph[$0].op is Attention }
      #expect(attentions == 40, "\(component.name)")
    }
    let logits = try #require(components[0].graph.outputs.first { $0.name == "logits" })
    #expect(components[0].graph.type(of: logits.value) == TensorType(.float32, ["batch", "sequence", 16512]))
  }

  @Test func thePublishedGlyphEncoderBuildsFromHeaders() throws {
    let shapes = PublishedGlmImage.glyphShapes
    #expect(shapes.count == 111)
    #expect(elementCount(shapes) == 217_657_472)
    let graph = try buildGraph(
      config: JSON.parse(PublishedGlmImage.glyphConfig), weights: PublishedGlmImage.store(shapes))
    #expect(weights(of: [graph]) == Set(shapes.map(\.name)))
  }

  @Test func otherWeightsAreRefused() throws {
    func failure(_ shapes: [(name: String, shape: [Int])]) throws -> BessemerError? {
      let (config, store) = (try JSON.parse(PublishedGlmImage.config), try PublishedGlmImage.store(shapes))
      do { _ = try buildComponents(config: config, weights: store) } catch { return error as? BessemerError }
      return nil
    }
    let shapes = PublishedGlmImage.shapes
    // Weights that nothing uses need not be there.
    #expect(try failure(shapes.filter { !$0.name.contains("post_quant_conv") }) == nil)
    for name in ["lm_head.weight", "model.visual.blocks.39.attn.qkv.bias", "model.vqmodel.quant_conv.weight"] {
      let error = try failure(shapes.filter { $0.name != name })
      #expect(error?.code == .weights && error?.details == ["missing: \(name)"])
    }
    let surplus = try failure(shapes + [("model.visual.blocks.40.norm1.weight", [1536])])
    #expect(surplus?.details == ["surplus: model.visual.blocks.40.norm1.weight"])
  }

  @Test(arguments: [
    ("\"vision_vocab_size\": 16512", "\"vision_vocab_size\": 0", ErrorCode.config),
    ("\"vision_vocab_size\": 16512", "\"vision_vocab_size\": 168065", .config),
    ("\"vision_vocab_size\": 16512,", "", .config),
    ("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", .unsupportedFeature),
    ("\"partial_rotary_factor\": 0.5", "\"partial_rotary_factor\": 1.0", .config),
    ("\"rope_theta\": 10000", "\"mrope_section\": [8, 12, 13]", .config),
    ("\"rope_theta\": 10000", "\"mrope_section\": [32, 0]", .config),
    ("\"rope_theta\": 10000", "\"mrope_section\": []", .config),
    ("\"rope_theta\": 10000", "\"mrope_section\": [-8, 40]", .config),
    ("\"rope_theta\": 10000", "\"mrope_section\": [9223372036854775807, 9223372036854775807]", .config),
    ("\"num_heads\": 16", "\"num_heads\": 7", .config),
    ("\"depth\": 40", "\"depth\": 0", .config),
    ("\"patch_size\": 16", "\"patch_size\": 0", .config),
    ("\"patch_size\": 16", "\"patch_size\": 9223372036854775807", .config),
    ("\"image_size\": 2048", "\"image_size\": 15", .config),
    ("\"image_size\": 2048", "\"image_size\": 2147483648", .config),
    ("\"in_channels\": 3", "\"in_channels\": -3", .config),
    ("\"spatial_merge_size\": 1", "\"spatial_merge_size\": 2", .unsupportedFeature),
    ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"no\"", .config),
    ("\"layer_norm_eps\": 1e-06", "\"layer_norm_eps\": -1", .config),
    ("\"latent_channels\": 1536", "\"latent_channels\": 1535", .config),
    ("\"num_embeddings\": 16384", "\"num_embeddings\": 16383", .weights),
    ("\"vq_config\": {", "\"vq\": {", .config),
  ])
  func configurationsThatCannotBeAreRefused(_ old: String, _ new: String, _ code: ErrorCode) throws {
    let text = PublishedGlmImage.config
    let parts = text.split(separator: old, omittingEmptySubsequences: false)
    #expect(parts.count >= 2)
    let config = try JSON.parse(parts.joined(separator: new))
    let store = try PublishedGlmImage.store(PublishedGlmImage.shapes)
    var found: ErrorCode?
    do { _ = try buildComponents(config: config, weights: store) } catch { found = (error as? BessemerError)?.code }
    #expect(found == code)
  }

  @Test func aModelOfSeveralGraphsIsNotTakenForOne() throws {
    let (config, store) = (
      try JSON.parse(PublishedGlmImage.config), try PublishedGlmImage.store(PublishedGlmImage.shapes)
    )
    #expect(throws: BessemerError.self) { try buildGraph(config: config, weights: store) }
  }
}
