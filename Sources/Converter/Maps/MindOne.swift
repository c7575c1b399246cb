internal import Tensors

/// The names that mindone gives to parameters of Hugging Face's models.
///
/// They follow the class of the layer: what mindone builds of `mindspore.nn` has MindSpore's names, `mint` layers keep
/// those of PyTorch. Which layers of a family are which is a fact of mindone's code, gathered here by the attributes
/// that hold them. Source: mindone 0.5, `_get_pt2ms_mappings` and the models.
enum MindOne {
  static let maps = [
    WeightMap("hf-to-mindone", "names of mindone's models, from Hugging Face's", inverse: "mindone-to-hf") {
      try forward($0)
    },
    WeightMap("mindone-to-hf", "Hugging Face's names, from those of mindone's models", inverse: "hf-to-mindone") {
      try backward($0)
    },
  ]

  /// The attributes that hold layers of `mindspore.nn`; what follows them may be numbers of a list.
  struct Layers {
    var embeddings: Set<String> = []
    /// LayerNorm and GroupNorm.
    var norms: Set<String> = []
    var batchNorms: Set<String> = []
    /// One-dimensional convolutions, whose weights have a dimension more in MindSpore.
    var convolutions: Set<String> = []

    fileprivate init(_ embeddings: String = "", norms: String = "", batchNorms: String = "", convolutions: String = "")
    {
      func words(_ text: String) -> Set<String> { Set(text.split(separator: " ").map { String($0) }) }
      self.embeddings = words(embeddings)
      self.norms = words(norms)
      self.batchNorms = words(batchNorms)
      self.convolutions = words(convolutions)
    }

    fileprivate mutating func add(_ other: Layers) {
      embeddings.formUnion(other.embeddings)
      norms.formUnion(other.norms)
      batchNorms.formUnion(other.batchNorms)
      convolutions.formUnion(other.convolutions)
    }
  }

  private static let bertEmbeddings = "distance_embedding position_embeddings token_type_embeddings word_embeddings"
  private static let vocoder = "conv conv1 conv2 conv_post conv_pre convs1 convs2"
  private static let conformer = "depthwise_conv pointwise_conv1 pointwise_conv2"

  /// By `model_type`; families that are not here have Hugging Face's names.
  private static let families: [String: Layers] = [
    "albert": Layers(bertEmbeddings, norms: "LayerNorm full_layer_layer_norm"),
    "canine": Layers(convolutions: "conv"),
    "clap_text_model": Layers(bertEmbeddings),
    "clap": Layers(bertEmbeddings, batchNorms: "batch_norm"),
    "clip": Layers(
      "position_embedding token_embedding",
      norms: "final_layer_norm layer_norm1 layer_norm2 post_layernorm pre_layrnorm"),
    "clvp": Layers(convolutions: "mel_conv"),
    "convbert": Layers(convolutions: "depthwise pointwise"),
    "deberta": Layers(norms: "LayerNorm"),
    "deberta-v2": Layers(norms: "LayerNorm"),
    "dpt": Layers(norms: "layernorm layernorm_after layernorm_before", batchNorms: "batch_norm1 batch_norm2"),
    "encodec": Layers(convolutions: "conv"),
    "fastspeech2_conformer": Layers(convolutions: vocoder + " " + conformer),
    "glm": Layers("embed_tokens"),
    "gpt2": Layers("wpe wte", norms: "ln_1 ln_2 ln_cross_attn ln_f"),
    "granitemoe": Layers("embed_tokens"),
    "granitemoehybrid": Layers(convolutions: "conv1d"),
    "hubert": Layers(batchNorms: "batch_norm", convolutions: "conv"),
    "mt5": Layers("relative_attention_bias shared"),
    "phi": Layers("embed_tokens"),
    "phi3": Layers("embed_tokens"),
    "qwen2": Layers("embed_tokens"),
    "qwen2_audio_encoder": Layers(convolutions: "conv1 conv2"),
    "rembert": Layers("position_embeddings token_type_embeddings word_embeddings"),
    "seamless_m4t": Layers(convolutions: vocoder + " " + conformer + " residual_conv self_attn_conv"),
    "seamless_m4t_v2": Layers(convolutions: vocoder + " " + conformer + " residual_conv self_attn_conv"),
    "sew": Layers(convolutions: "conv"),
    "sew-d": Layers(convolutions: "conv"),
    "speecht5": Layers(
      "embed_tokens pe_k", norms: "layer_norm", batchNorms: "batch_norm",
      convolutions: "conv conv_post conv_pre convs1 convs2"),
    "umt5": Layers("relative_attention_bias shared"),
    "unispeech": Layers(convolutions: "conv"),
    "unispeech-sat": Layers(convolutions: "conv"),
    "vits": Layers(
      "embed_speaker embed_tokens",
      convolutions: "cond conv_1 conv_2 conv_post conv_pre conv_proj convs1 convs2 post_conv_pre post_conv_proj proj "
        + "project"),
    "wav2vec2": Layers(convolutions: "conv"),
    "wav2vec2-bert": Layers(convolutions: conformer + " residual_conv self_attn_conv"),
    "wav2vec2-conformer": Layers(convolutions: "conv depthwise_conv pointwise_conv1 pointwise_conv2"),
    "wavlm": Layers(convolutions: "conv"),
    "whisper": Layers("embed_positions embed_tokens", convolutions: "conv1 conv2"),
    "xlm-roberta-xl": Layers("distance_embedding"),
  ]

  /// What the configuration says of the model and the models inside it; nil without a configuration.
  private static func layers(_ config: JSON?) -> Layers? {
    guard let config, config.kind == .object else { return nil }
    var layers = Layers()
    for part in [config] + config.members.map({ $0.1 }).filter({ $0.kind == .object }) {
      guard let type = part["model_type"]?.string else { continue }
      // The parts of CLIP have types of their own.
      let name = type.hasPrefix("clip_") ? "clip" : type
      if let own = families[name] { layers.add(own) }
    }
    return layers
  }

  // MARK: Rules

  /// Parameters of norms, in PyTorch and in MindSpore; of batch norms all, of others the first two.
  private static let normNames = [
    ("weight", "gamma"), ("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance"),
  ]

  /// One rule for each tensor, so that all are named.
  private static func forward(_ subject: WeightMap.Subject) throws -> [MapRule] {
    guard let layers = layers(subject.config) else {
      throw BessemerError(.config, "the map needs config.json beside the weights, which tells the layers of the model")
    }
    let names = Set(subject.entries.map(\.name))
    return try subject.entries.map { entry in
      let part = Parameter(entry.name.string)
      func has(_ set: Set<String>) -> Bool { set.contains(part.attribute) }
      if has(layers.embeddings), part.name == "weight" { return try rename(entry, part.layer + ".embedding_table") }
      let isBatchNorm = has(layers.batchNorms)
      if isBatchNorm || has(layers.norms) {
        if isBatchNorm, part.name == "num_batches_tracked" { return try act(.drop, entry) }
        let known = normNames.prefix(isBatchNorm ? 4 : 2).first { $0.0 == part.name }
        return try rename(entry, known.map { part.layer + "." + $0.1 })
      }
      guard has(layers.convolutions) else { return try rename(entry, nil) }
      let isNormed = names.contains(TensorName(part.layer + ".weight_g"))
      if part.name == "bias", isNormed { return try rename(entry, part.layer + ".weight_norm_cell.bias") }
      guard part.name.hasPrefix("weight"), entry.shape.count == 3 else { return try rename(entry, nil) }
      return try act(.reshape([entry.shape[0], entry.shape[1], 1, entry.shape[2]]), entry)
    }
  }

  /// Without a configuration by the names of parameters alone; then convolutions stay as they are.
  private static func backward(_ subject: WeightMap.Subject) throws -> [MapRule] {
    let layers = layers(subject.config)
    return try subject.entries.map { entry in
      let part = Parameter(entry.name.string)
      if part.attribute == "rotary_emb", part.name == "inv_freq" {
        // A parameter in mindone, computed from the configuration elsewhere.
        return try act(.drop, entry)
      }
      if part.name == "embedding_table" { return try rename(entry, part.layer + ".weight") }
      if part.layer.hasSuffix(".weight_norm_cell") {
        return try rename(entry, part.layer.dropLast(".weight_norm_cell".count) + "." + part.name)
      }
      let isNorm = layers.map { $0.norms.union($0.batchNorms).contains(part.attribute) } ?? true
      if isNorm, let known = normNames.first(where: { $0.1 == part.name }) {
        return try rename(entry, part.layer + "." + known.0)
      }
      let isConvolution = layers?.convolutions.contains(part.attribute) ?? false
      guard isConvolution, part.name.hasPrefix("weight"), entry.shape.count == 4, entry.shape[2] == 1 else {
        return try rename(entry, nil)
      }
      return try act(.reshape([entry.shape[0], entry.shape[1], entry.shape[3]]), entry)
    }
  }

  /// A name in its parts: `encoder.convs1.0.weight` is the parameter `weight` of the layer `encoder.convs1.0`, which
  /// the attribute `convs1` holds.
  private struct Parameter {
    let layer: String
    let name: String
    let attribute: String

    init(_ whole: String) {
      let parts = whole.split(separator: ".", omittingEmptySubsequences: false)
      name = String(parts.last ?? "")
      layer = parts.dropLast().joined(separator: ".")
      attribute = String(
        parts.dropLast().last { $0.isEmpty || !$0.utf8.allSatisfy { (0x30...0x39).contains($0) } } ?? "")
    }
  }

  /// A rule for one tensor; without a name it stays as it is.
  private static func rename(_ entry: TensorStore.Entry, _ name: String?) throws -> MapRule {
    try act(.rename, entry, to: name.map { [MapPattern.literal($0)] } ?? [])
  }

  private static func act(_ action: MapRule.Action, _ entry: TensorStore.Entry, to names: [String] = []) throws
    -> MapRule
  {
    try MapRule(action, [MapPattern.literal(entry.name.string)], to: names)
  }
}
