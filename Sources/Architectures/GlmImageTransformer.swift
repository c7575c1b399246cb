import IR
import Tensors

/// GLM-Image's diffusion transformer: what to change in a noisy image's latents, given a text's glyphs and visual
/// tokens.
///
/// Inputs: `hidden_states` [batch, channels, 2·height, 2·width] (for patches of 2), `encoder_hidden_states` [batch,
/// text, width], `prior_token_id` [batch, height·width] and `prior_token_drop`, true where a token counts as none,
/// `timestep` [batch], `target_size` and `crop_coords` [batch, 2] in pixels. Output: `sample`, like `hidden_states`.
///
/// The states hold keys and values of condition images: a run with no text appends an image's, runs that leave the
/// states as they are look at them, and a session whose states are empty ignores them.
/// Source: `transformer_glm_image.py` of diffusers.
enum GlmImageTransformer: Architecture {
  static let modelTypes = ["GlmImageTransformer2DModel"]

  struct Configuration: Decodable {
    var patchSize: Int?
    var inChannels: Int?
    var outChannels: Int?
    var numLayers: Int?
    var attentionHeadDim: Int?
    var numAttentionHeads: Int?
    var textEmbedDim: Int?
    var timeEmbedDim: Int?
    var conditionDim: Int?
    var priorVqQuantizerCodebookSize: Int?
  }

  /// Entries of a cache: 16 images of 4096 patches.
  private static let capacity = 1 << 16

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let sizes = try Sizes(c)
    let (width, patch) = (sizes.width, sizes.patch)
    func side(_ name: String) -> Dim { .symbol(patch == 1 ? name : "\(patch)*\(name)") }
    let image = b.input(
      "hidden_states", TensorType(.float32, ["batch", .known(sizes.input), side("height"), side("width")]))
    let text = b.input("encoder_hidden_states", TensorType(.float32, ["batch", "text", .known(sizes.text)]))
    let tokens = b.input("prior_token_id", TensorType(.int64, ["batch", "height*width"]))
    let dropped = b.input("prior_token_drop", TensorType(.bool, ["batch", "height*width"]), initial: .zeros)
    let condition = try sizes.condition(&b)

    let patches = try b.within("patchify") { try $0.patches(image, size: patch) }
    let rows = try b.add(Reshape(shape: [0, -1, sizes.input * patch * patch]), b.cast(patches, b.activation))
    var x = try b.linear(rows, "image_projector.proj", outputs: width, inputs: sizes.input * patch * patch, bias: true)
    var y = try sizes.projector(b.cast(text, b.activation), "glyph_projector", inputs: sizes.text, "gelu", &b)
    let codes = try b.embedding(tokens, "prior_token_embedding.weight", count: sizes.codes, width: width)
    let shown = try b.within("prior_token_drop") { b in
      try b.add(Where(), b.add(Unsqueeze(axis: 2), dropped), b.scalar(0, b.activation), codes)
    }
    x = try b.add(Add(), x, sizes.projector(shown, "prior_projector", inputs: width, "silu", &b))

    let rotary = try b.within("rotary") { try sizes.rotary(over: patches, &$0) }
    for layer in 0..<sizes.layers {
      (x, y) = try sizes.block(x, y, condition, rotary, layer, capacity: capacity, &b)
    }
    let last = try sizes.modulation(condition, "norm_out.linear", count: 2, &b)
    x = try sizes.modulated(x, scale: last[0], shift: last[1], "norm_out", &b)
    x = try b.linear(x, "proj_out", outputs: sizes.output * patch * patch, inputs: width, bias: true)
    let grid = try b.within("unpatchify") { try $0.add(Unflatten(axis: 1, start: 1), x, patches) }
    try b.output("sample", b.within("unpatchify") { try $0.image(grid, channels: sizes.output, size: patch) })
  }

  /// The numbers of a configuration, checked, and the parts that depend on them.
  struct Sizes {
    let patch, input, output, layers, headSize, heads, text, time, place, codes: Int
    var width: Int { heads * headSize }

    init(_ c: Configuration) throws {
      (patch, input) = (c.patchSize ?? 2, c.inChannels ?? 16)
      (output, layers, headSize, heads) = (
        c.outChannels ?? input, c.numLayers ?? 30, c.attentionHeadDim ?? 40, c.numAttentionHeads ?? 64
      )
      (text, time, place, codes) = (
        c.textEmbedDim ?? 1472, c.timeEmbedDim ?? 512, c.conditionDim ?? 256, c.priorVqQuantizerCodebookSize ?? 16384
      )
      try checkSizes([
        ("patch_size", patch), ("in_channels", input), ("out_channels", output), ("num_layers", layers),
        ("attention_head_dim", headSize), ("num_attention_heads", heads), ("text_embed_dim", text),
        ("time_embed_dim", time), ("condition_dim", place), ("prior_vq_quantizer_codebook_size", codes),
      ])
      guard patch <= 64, headSize % 4 == 0, headSize <= 1 << 16, time % 2 == 0, place % 2 == 0 else {
        throw BessemerError(
          .config,
          "patch_size \(patch), attention_head_dim \(headSize), time_embed_dim \(time) and condition_dim \(place) "
            + "do not go together")
      }
    }
  }
}

extension GraphBuilder {
  /// An image [batch, channels, size·height, size·width] as patches [batch, height, width, channels · size²].
  fileprivate mutating func patches(_ image: ValueID, size: Int) throws -> ValueID {
    guard let channels = type(of: image).dims[1].value else { preconditionFailure("channels are known") }
    // One side after the other, each while it stands last.
    let rows = try add(Reshape(shape: [0, 0, 0, -1, size]), add(Transpose(permutation: [0, 3, 1, 2]), image))
    let both = try add(Reshape(shape: [0, 0, 0, 0, -1, size]), add(Transpose(permutation: [0, 2, 3, 4, 1]), rows))
    return try add(
      Reshape(shape: [0, 0, 0, channels * size * size]), add(Transpose(permutation: [0, 2, 4, 1, 3, 5]), both))
  }

  /// Patches [batch, height, width, channels · size²] as an image.
  fileprivate mutating func image(_ patches: ValueID, channels: Int, size: Int) throws -> ValueID {
    let parts = try add(Reshape(shape: [0, 0, 0, channels, size, size]), patches)
    let columns = try add(
      Reshape(shape: [0, 0, 0, 0, -1]), add(Transpose(permutation: [0, 3, 1, 4, 2, 5]), parts))
    let turned = try add(Transpose(permutation: [0, 1, 4, 2, 3]), columns)
    return try add(Transpose(permutation: [0, 1, 3, 2]), add(Reshape(shape: [0, 0, 0, -1]), turned))
  }
}
