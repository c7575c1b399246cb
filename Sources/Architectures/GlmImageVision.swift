import IR
import Tensors

extension GlmImage {
  struct Vision: Decodable {
    var depth: Int
    var hiddenSize: Int
    var intermediateSize: Int
    var numHeads: Int
    var patchSize: Int
    var imageSize: Int
    var inChannels: Int?
    var spatialMergeSize: Int?
    var layerNormEps: Double?
    var hiddenAct: String?
    var attentionBias: Bool?
  }

  struct Quantizer: Decodable {
    var embedDim: Int
    var numEmbeddings: Int
    var latentChannels: Int
  }

  /// The vision tower and its quantizer: `pixel_values` [images, height, width, channels · patch²], the patches of
  /// images of one size, to `image_tokens` [images, height · width] and the `image_features` they stand for.
  ///
  /// Patches of an image see those of the same image only, so images of another size are another run.
  static func buildVision(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let (vision, quantizer) = (c.visionConfig, c.vqConfig)
    let (width, heads, patch) = (vision.hiddenSize, vision.numHeads, vision.patchSize)
    let (channels, epsilon) = (vision.inChannels ?? 3, vision.layerNormEps ?? 1e-6)
    try checkSizes([
      ("hidden_size", width), ("intermediate_size", vision.intermediateSize), ("depth", vision.depth),
      ("num_heads", heads), ("image_size", vision.imageSize), ("embed_dim", quantizer.embedDim),
      ("num_embeddings", quantizer.numEmbeddings), ("latent_channels", quantizer.latentChannels),
    ])
    guard patch > 0, patch <= 1024, channels > 0, channels <= 1024, vision.imageSize >= patch,
      vision.imageSize / patch <= 1 << 15
    else {
      throw BessemerError(
        .config, "images of \(vision.imageSize) with \(channels) channels do not go with patches of \(patch)")
    }
    guard vision.spatialMergeSize ?? 1 == 1 else {
      throw BessemerError(.unsupportedFeature, "spatial_merge_size \(vision.spatialMergeSize ?? 1) is not supported")
    }
    guard quantizer.latentChannels == width else {
      throw BessemerError(
        .config, "latent_channels \(quantizer.latentChannels) are not the vision tower's hidden_size \(width)")
    }
    try checkEpsilon(epsilon, "layer_norm_eps")
    let headSize = try DecoderSizes.headSize(nil, hiddenSize: width, heads: heads)
    func norm(_ x: ValueID, _ name: String, _ b: inout GraphBuilder) throws -> ValueID {
      try b.layerNorm(x, weight: name + ".weight", bias: name + ".bias", width: width, epsilon: epsilon)
    }

    let inputs = channels * patch * patch
    let pixels = b.input("pixel_values", TensorType(.float32, ["images", "height", "width", .known(inputs)]))
    let patches = try b.linear(
      b.cast(pixels, b.activation), "model.visual.patch_embed.proj", outputs: width, inputs: inputs, bias: true,
      stored: [width, channels, patch, patch])
    let places = try b.within("model.visual.embeddings") { b in
      try b.sampledTable(
        "model.visual.embeddings.position_embedding.weight", side: vision.imageSize / patch, width: width, over: pixels)
    }
    var x = try b.add(Reshape(shape: [0, -1, width]), b.add(Add(), patches, places))
    for layer in 0..<vision.depth {
      let prefix = "model.visual.blocks.\(layer)"
      let joint = try b.linear(
        norm(x, "\(prefix).norm1", &b), "\(prefix).attn.qkv", outputs: 3 * width, inputs: width,
        bias: vision.attentionBias ?? true)
      let parts = try b.addAll(Split(axis: -1, sizes: [width, width, width]), [joint]).map { part in
        try b.add(Transpose(permutation: [0, 2, 1, 3]), b.add(Reshape(shape: [0, 0, heads, headSize]), part))
      }
      let mixed = try b.within("\(prefix).attn") { b in
        try b.attention(parts[0], parts[1], parts[2], scale: 1 / Double(headSize).squareRoot(), groups: 1)
      }
      let joined = try b.add(Reshape(shape: [0, 0, width]), b.add(Transpose(permutation: [0, 2, 1, 3]), mixed))
      x = try b.add(
        Add(), x, b.linear(joined, "\(prefix).attn.proj", outputs: width, inputs: width, bias: true))
      let inner = try b.linear(
        norm(x, "\(prefix).norm2", &b), "\(prefix).mlp.fc1", outputs: vision.intermediateSize, inputs: width,
        bias: true)
      let active = try b.activate(inner, vision.hiddenAct ?? "gelu")
      x = try b.add(
        Add(), x,
        b.linear(active, "\(prefix).mlp.fc2", outputs: width, inputs: vision.intermediateSize, bias: true))
    }
    try b.output("image_features", x)
    let latent = try b.linear(
      x, "model.vqmodel.quant_conv", outputs: quantizer.embedDim, inputs: width, bias: true,
      stored: [quantizer.embedDim, width, 1, 1])
    try b.output("image_tokens", b.nearestCodes(latent, "model.vqmodel.quantize.embedding.weight", quantizer))
    // Undoes quant_conv for decoders of images; no graph here is one.
    for part in ["weight", "bias"] { b.ignore("model.vqmodel.post_quant_conv.\(part)") }
  }
}

extension GraphBuilder {
  /// The table `NAME` [side · side, width] sampled for a grid as large as dimensions 1 and 2 of `grid`, each cell at
  /// its centre: bilinear, no further out than the table's outermost entries; [height, width of the grid, width].
  fileprivate mutating func sampledTable(_ name: String, side: Int, width: Int, over grid: ValueID) throws -> ValueID {
    let table = try weight(name, [side * side, width])
    let rows = try samples(of: grid, axis: 1, side: side, column: false)
    let columns = try samples(of: grid, axis: 2, side: side, column: true)
    let terms = try rows.flatMap { row in
      try columns.map { column in
        let index = try add(Add(), multiply(row.index, Double(side)), column.index)
        let weights = try add(Unsqueeze(axis: 2), add(Multiply(), row.weight, column.weight))
        return try add(Multiply(), cast(add(Gather(axis: 0), table, index), .float32), weights)
      }
    }
    return try cast(terms.dropFirst().reduce(terms[0]) { try add(Add(), $0, $1) }, activation)
  }

  /// The two entries between which each cell along an axis of `grid` falls, of `side`, and how much each counts: both
  /// columns [n, 1], or for `column` rows [1, n].
  private mutating func samples(of grid: ValueID, axis: Int, side: Int, column: Bool) throws -> [(
    index: ValueID, weight: ValueID
  )] {
    let count = try cast(add(Size(axis: axis), grid), .float32)
    let cells = try cast(add(Unsqueeze(axis: column ? 0 : 1), add(Iota(axis: axis), grid)), .float32)
    // As the frameworks compute it: to -1…1, and from there to entries.
    let centre = try plus(multiply(add(Divide(), plus(cells, 0.5), count), 2), -1)
    let place = try multiply(plus(multiply(plus(centre, 1), Double(side)), -1), 0.5)
    let within = try add(Clip(minimum: 0, maximum: Double(side - 1)), place)
    let low = try add(Floor(), within)
    let part = try add(Subtract(), within, low)
    let high = try add(Clip(minimum: 0, maximum: Double(side - 1)), plus(low, 1))
    return [
      (try cast(low, .int64), try plus(add(Negate(), part), 1)), (try cast(high, .int64), part),
    ]
  }

  /// For each vector the row of the table `NAME` in whose direction it points most, [images, length].
  fileprivate mutating func nearestCodes(_ x: ValueID, _ name: String, _ quantizer: GlmImage.Quantizer) throws
    -> ValueID
  {
    try within("model.vqmodel.quantize") { b in
      // The frameworks scale both sides to length 1; the length of x does not change which row is nearest.
      let codes = try b.cast(b.weight(name, [quantizer.numEmbeddings, quantizer.embedDim]), .float32)
      let lengths = try b.add(ReduceL2(axes: [1], keepDims: false), codes)
      let products = try b.add(MatMul(), b.cast(x, .float32), b.add(Transpose(permutation: [1, 0]), codes))
      let cosines = try b.add(Divide(), products, b.add(Maximum(), lengths, b.scalar(1e-12, .float32)))
      return try b.add(ArgMax(axis: -1, keepDims: false), cosines)
    }
  }
}
