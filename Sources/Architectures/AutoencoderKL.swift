import IR
import Tensors

/// The autoencoder of latent diffusion: images to the distribution of their latents, and latents to images, by
/// convolutions.
///
/// `decoder`: `latents` [batch, latent channels, height, width] to `sample`, each side as often twice as long as there
/// are levels but one. `encoder`: `sample` to `mean` and `logvar`. Neither scales latents: that is the pipeline's.
/// Source: `AutoencoderKL` in `autoencoder_kl.py` of diffusers (Stable Diffusion, FLUX, GLM-Image).
enum AutoencoderKL: Architecture {
  static let modelTypes = ["AutoencoderKL"]
  static var components: [(name: String, build: Build)] {
    [("decoder", { try build($0, &$1) }), ("encoder", { try buildEncoder($0, &$1) })]
  }

  struct Configuration: Decodable {
    var inChannels: Int?
    var outChannels: Int?
    var latentChannels: Int?
    var blockOutChannels: [Int]?
    var layersPerBlock: Int?
    var downBlockTypes: [String]?
    var upBlockTypes: [String]?
    var normNumGroups: Int?
    var actFn: String?
    var midBlockAddAttention: Bool?
    var useQuantConv: Bool?
    var usePostQuantConv: Bool?
  }

  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let blocks = try ImageBlocks(c)
    let (top, levels) = (blocks.channels.last ?? 1, Array(blocks.channels.reversed()))
    let latents = b.input("latents", TensorType(.float32, ["batch", .known(blocks.latent), "height", "width"]))
    var x = try b.cast(latents, b.activation)
    if c.usePostQuantConv ?? true {
      x = try b.convolution(x, "post_quant_conv", from: blocks.latent, to: blocks.latent, size: 1)
    }
    x = try b.convolution(x, "decoder.conv_in", from: blocks.latent, to: top)
    x = try blocks.middle(x, "decoder.mid_block", &b)
    var width = top
    for (level, channels) in levels.enumerated() {
      let prefix = "decoder.up_blocks.\(level)"
      for layer in 0...blocks.layers {
        x = try blocks.residual(x, "\(prefix).resnets.\(layer)", from: width, to: channels, &b)
        width = channels
      }
      guard level < levels.count - 1 else { continue }
      x = try b.within("\(prefix).upsamplers.0") { try $0.add(UpsampleNearest(factor: 2), x) }
      x = try b.convolution(x, "\(prefix).upsamplers.0.conv", from: width, to: width)
    }
    x = try blocks.normalized(x, "decoder.conv_norm_out", width, &b)
    try b.output("sample", b.convolution(x, "decoder.conv_out", from: width, to: blocks.output))
  }

  static func buildEncoder(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let blocks = try ImageBlocks(c)
    let scale = 1 << (blocks.channels.count - 1)
    func side(_ name: String) -> Dim { .symbol(scale == 1 ? name : "\(scale)*\(name)") }
    let image = b.input(
      "sample", TensorType(.float32, ["batch", .known(blocks.input), side("height"), side("width")]))
    var width = blocks.channels[0]
    var x = try b.convolution(b.cast(image, b.activation), "encoder.conv_in", from: blocks.input, to: width)
    for (level, channels) in blocks.channels.enumerated() {
      let prefix = "encoder.down_blocks.\(level)"
      for layer in 0..<blocks.layers {
        x = try blocks.residual(x, "\(prefix).resnets.\(layer)", from: width, to: channels, &b)
        width = channels
      }
      guard level < blocks.channels.count - 1 else { continue }
      // Padded below and on the right only.
      x = try b.convolution(
        x, "\(prefix).downsamplers.0.conv", from: width, to: width, Conv2D(strides: [2, 2], pads: [0, 0, 1, 1]))
    }
    x = try blocks.middle(x, "encoder.mid_block", &b)
    x = try blocks.normalized(x, "encoder.conv_norm_out", width, &b)
    x = try b.convolution(x, "encoder.conv_out", from: width, to: 2 * blocks.latent)
    if c.useQuantConv ?? true {
      x = try b.convolution(x, "quant_conv", from: 2 * blocks.latent, to: 2 * blocks.latent, size: 1)
    }
    let parts = try b.addAll(Split(axis: 1, sizes: [blocks.latent, blocks.latent]), [x])
    try b.output("mean", parts[0])
    try b.output("logvar", b.add(Clip(minimum: -30, maximum: 20), parts[1]))
  }
}

/// What encoder and decoder are built of.
struct ImageBlocks {
  /// Channels of the levels, the one next to the image first.
  let channels: [Int]
  let layers: Int
  let (input, output, latent): (Int, Int, Int)
  private let groups: Int
  private let activation: String
  private let hasAttention: Bool
  private static let epsilon = 1e-6

  /// - Throws: ``ErrorCode/config`` for sizes that cannot be, ``ErrorCode/unsupportedFeature`` for other blocks.
  init(_ c: AutoencoderKL.Configuration) throws {
    (channels, layers) = (c.blockOutChannels ?? [64], c.layersPerBlock ?? 1)
    (input, output, latent) = (c.inChannels ?? 3, c.outChannels ?? 3, c.latentChannels ?? 4)
    (groups, activation) = (c.normNumGroups ?? 32, c.actFn ?? "silu")
    hasAttention = c.midBlockAddAttention ?? true
    try checkSizes(
      [("layers_per_block", layers), ("in_channels", input), ("out_channels", output), ("latent_channels", latent)]
        + channels.map { ("block_out_channels", $0) } + [("norm_num_groups", groups)])
    guard (1...16).contains(channels.count), channels.allSatisfy({ $0 % groups == 0 }) else {
      throw BessemerError(.config, "block_out_channels \(channels) do not fall into \(groups) groups")
    }
    for (types, known) in [(c.downBlockTypes, "DownEncoderBlock2D"), (c.upBlockTypes, "UpDecoderBlock2D")] {
      guard let types else { continue }
      guard types.count == channels.count else {
        throw BessemerError(.config, "\(types.count) block types do not go with block_out_channels \(channels)")
      }
      if let other = types.first(where: { $0 != known }) {
        throw BessemerError(.unsupportedFeature, "blocks of type \(quoted(other)) are not supported, only \(known)")
      }
    }
  }

  /// The norm `NAME` of groups of channels, and the activation function of it.
  func normalized(_ x: ValueID, _ name: String, _ width: Int, _ b: inout GraphBuilder) throws -> ValueID {
    let y = try norm(x, name, width, &b)
    return try b.within(name) { try $0.activate(y, activation) }
  }

  private func norm(_ x: ValueID, _ name: String, _ width: Int, _ b: inout GraphBuilder) throws -> ValueID {
    try b.within(name) { b in
      let (weight, bias) = (try b.weight("\(name).weight", [width]), try b.weight("\(name).bias", [width]))
      return try b.add(GroupNorm(groups: groups, epsilon: ImageBlocks.epsilon), x, weight, bias)
    }
  }

  /// Two convolutions, each behind a norm and an activation, added to x, or to a projection of it when the number of
  /// channels changes.
  func residual(_ x: ValueID, _ name: String, from: Int, to: Int, _ b: inout GraphBuilder) throws -> ValueID {
    var y = try b.convolution(normalized(x, "\(name).norm1", from, &b), "\(name).conv1", from: from, to: to)
    let shortcut = try from == to ? x : b.convolution(x, "\(name).conv_shortcut", from: from, to: to, size: 1)
    y = try b.convolution(normalized(y, "\(name).norm2", to, &b), "\(name).conv2", from: to, to: to)
    return try b.within(name) { try $0.add(Add(), shortcut, y) }
  }

  /// The blocks between the levels: attention among all pixels, if there is any, stands between two residual ones.
  func middle(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
    let width = channels.last ?? 1
    var x = try residual(x, "\(name).resnets.0", from: width, to: width, &b)
    if hasAttention { x = try attention(x, "\(name).attentions.0", width, &b) }
    return try residual(x, "\(name).resnets.1", from: width, to: width, &b)
  }

  /// Attention with one head; older checkpoints have other names for its projections.
  private func attention(_ x: ValueID, _ name: String, _ width: Int, _ b: inout GraphBuilder) throws -> ValueID {
    let isOld = b.hasWeight("\(name).query.weight")
    let names = isOld ? ["query", "key", "value", "proj_attn"] : ["to_q", "to_k", "to_v", "to_out.0"]
    let pixels = try b.add(Transpose(permutation: [0, 2, 3, 1]), norm(x, "\(name).group_norm", width, &b))
    let rows = try b.add(Reshape(shape: [0, -1, width]), pixels)
    let parts = try names.dropLast().map { part in
      let y = try b.linear(rows, "\(name).\(part)", outputs: width, inputs: width, bias: true)
      return try b.add(Unsqueeze(axis: 1), y)
    }
    let mixed = try b.within(name) { b in
      try b.attention(parts[0], parts[1], parts[2], scale: 1 / Double(width).squareRoot(), groups: 1)
    }
    let joined = try b.linear(
      b.add(Squeeze(axis: 1), mixed), "\(name).\(names[3])", outputs: width, inputs: width, bias: true)
    return try b.within(name) { b in
      let image = try b.add(Unflatten(axis: 1, start: 1), joined, pixels)
      return try b.add(Add(), x, b.add(Transpose(permutation: [0, 3, 1, 2]), image))
    }
  }
}

extension GraphBuilder {
  /// The convolution `NAME.{weight,bias}` with square filters; unless `op` says otherwise, the image keeps its size.
  fileprivate mutating func convolution(
    _ x: ValueID, _ name: String, from: Int, to: Int, size: Int = 3, _ op: Conv2D? = nil
  ) throws -> ValueID {
    try within(name) { b in
      let weight = try b.weight("\(name).weight", [to, from, size, size])
      let pad = size / 2
      return try b.add(op ?? Conv2D(pads: [pad, pad, pad, pad]), x, weight, b.weight("\(name).bias", [to]))
    }
  }
}
