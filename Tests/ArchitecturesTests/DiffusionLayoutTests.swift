import Architectures
import IR
import Passes
import TestSupport
import Tensors
import Testing

/// The published GLM-Image's transformer and autoencoder: names, shapes and configurations, see `PublishedGlmImage`.
enum PublishedDiffusion {
  static let transformerConfig = """
    {"_class_name": "GlmImageTransformer2DModel", "patch_size": 2, "in_channels": 16, "out_channels": 16,
     "num_layers": 30, "attention_head_dim": 128, "num_attention_heads": 32, "text_embed_dim": 1472,
     "time_embed_dim": 512, "condition_dim": 256, "prior_vq_quantizer_codebook_size": 16384}
    """

  static let autoencoderConfig = """
    {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 16,
     "block_out_channels": [128, 512, 1024, 1024], "layers_per_block": 3, "norm_num_groups": 32, "act_fn": "silu",
     "mid_block_add_attention": false, "use_quant_conv": false, "use_post_quant_conv": false, "force_upcast": true}
    """

  private static func biased(_ name: String, _ shape: [Int]) -> [(name: String, shape: [Int])] {
    [("\(name).weight", shape), ("\(name).bias", [shape[0]])]
  }

  static var transformer: [(name: String, shape: [Int])] {
    let (width, time) = (4096, 512)
    let blocks = (0..<30).flatMap { layer -> [(name: String, shape: [Int])] in
      let prefix = "transformer_blocks.\(layer)"
      return ["to_q", "to_k", "to_v", "to_out.0"].flatMap { biased("\(prefix).attn1.\($0)", [width, width]) }
        + biased("\(prefix).norm1.linear", [12 * width, time])
        + biased("\(prefix).ff.net.0.proj", [4 * width, width]) + biased("\(prefix).ff.net.2", [width, 4 * width])
    }
    let embedders = [("timestep_embedder", time), ("condition_embedder", 1024)].flatMap { name, inputs in
      biased("time_condition_embed.\(name).linear_1", [time, inputs])
        + biased("time_condition_embed.\(name).linear_2", [time, time])
    }
    let projectors = [("glyph_projector", 1472), ("prior_projector", width)].flatMap { name, inputs in
      biased("\(name).net.0.proj", [width, inputs]) + biased("\(name).net.2", [width, width])
    }
    return blocks + embedders + projectors + biased("image_projector.proj", [width, 64])
      + biased("norm_out.linear", [2 * width, time]) + biased("proj_out", [64, width])
      + [("prior_token_embedding.weight", [16384, width])]
  }

  static var autoencoder: [(name: String, shape: [Int])] {
    func convolution(_ name: String, _ from: Int, _ to: Int, size: Int = 3) -> [(name: String, shape: [Int])] {
      biased(name, [to, from, size, size])
    }
    func residual(_ name: String, _ from: Int, _ to: Int) -> [(name: String, shape: [Int])] {
      biased("\(name).norm1", [from]) + convolution("\(name).conv1", from, to) + biased("\(name).norm2", [to])
        + convolution("\(name).conv2", to, to)
        + (from == to ? [] : convolution("\(name).conv_shortcut", from, to, size: 1))
    }
    func side(_ name: String, _ levels: [Int], layers: Int, blocks: String, between: String, _ first: Int)
      -> [(name: String, shape: [Int])]
    {
      var width = first
      return levels.enumerated().flatMap { level, channels -> [(name: String, shape: [Int])] in
        let residuals = (0..<layers).flatMap { layer in
          defer { width = channels }
          return residual("\(name).\(blocks).\(level).resnets.\(layer)", width, channels)
        }
        guard level < levels.count - 1 else { return residuals }
        return residuals + convolution("\(name).\(blocks).\(level).\(between).0.conv", channels, channels)
      }
        + (0..<2).flatMap { residual("\(name).mid_block.resnets.\($0)", 1024, 1024) }
        + biased("\(name).conv_norm_out", [levels[levels.count - 1]])
    }
    let levels = [128, 512, 1024, 1024]
    return side("encoder", levels, layers: 3, blocks: "down_blocks", between: "downsamplers", 128)
      + side("decoder", levels.reversed(), layers: 4, blocks: "up_blocks", between: "upsamplers", 1024)
      + convolution("encoder.conv_in", 3, 128) + convolution("encoder.conv_out", 1024, 32)
      + convolution("decoder.conv_in", 16, 1024) + convolution("decoder.conv_out", 128, 3)
  }
}

@Suite struct DiffusionLayoutTests {
  @Test(arguments: [
    (PublishedDiffusion.transformerConfig, PublishedDiffusion.transformer, 443, 6_926_882_880, ["model"]),
    (PublishedDiffusion.autoencoderConfig, PublishedDiffusion.autoencoder, 288, 406_100_643, ["decoder", "encoder"]),
  ])
  func buildsFromHeaders(
    _ config: String, _ shapes: [(name: String, shape: [Int])], _ tensors: Int, _ parameters: Int, _ names: [String]
  ) throws {
    #expect(shapes.count == tensors)
    #expect(shapes.reduce(0) { $0 + $1.shape.reduce(1, *) } == parameters)
    let components = try buildComponents(config: JSON.parse(config), weights: PublishedGlmImage.store(shapes))
    #expect(components.map(\.name) == names)
    var read: Set<String> = []
    for component in components {
      var graph = component.graph
      for id in graph.nodeIDs { if let op = graph[id].op as? Weight { read.insert(op.name.string) } }
      _ = try PassRunner(defaultPasses()).run(on: &graph)
      try graph.verify()
    }
    #expect(read == Set(shapes.map(\.name)))
  }

  @Test func sizesFollowThroughTheGraphs() throws {
    let components = try buildComponents(
      config: JSON.parse(PublishedDiffusion.autoencoderConfig),
      weights: PublishedGlmImage.store(PublishedDiffusion.autoencoder))
    let (decoder, encoder) = (components[0].graph, components[1].graph)
    #expect(decoder.type(of: decoder.outputs[0].value).description == "f32[batch,3,8*height,8*width]")
    #expect(encoder.type(of: encoder.inputs[0].value).description == "f32[batch,3,8*height,8*width]")
    #expect(encoder.type(of: encoder.outputs[0].value).description == "f32[batch,16,height,width]")
  }
}
