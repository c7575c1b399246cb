import IR
import Tensors

/// The autoregressive half of GLM-Image: a language model that writes an image as tokens, and a vision tower that reads
/// one as such tokens.
///
/// The graph `language` continues tokens; its positions have three axes, time, row and column. The graph `vision`
/// turns patches of images into the tokens that stand for them, see `GlmImageVision.swift`. Source:
/// `modeling_glm_image.py` of transformers.
enum GlmImage: Architecture {
  static let modelTypes = ["glm_image"]

  struct Configuration: Decodable {
    var textConfig: Text
    var visionConfig: Vision
    var vqConfig: Quantizer
    var tieWordEmbeddings: Bool?
  }

  struct Text: DecoderConfiguration {
    var hiddenSize: Int
    var intermediateSize: Int
    var numHiddenLayers: Int
    var numAttentionHeads: Int
    var numKeyValueHeads: Int?
    var headDim: Int?
    var vocabSize: Int
    /// Tokens that can be generated, the first ones of the vocabulary.
    var visionVocabSize: Int
    var maxPositionEmbeddings: Int?
    var rmsNormEps: Double?
    var attentionBias: Bool?
    var hiddenAct: String?
    var tieWordEmbeddings: Bool?
    var ropeTheta: Double?
    var ropeParameters: RotaryParameters.Table?
    var ropeScaling: RotaryParameters.Table?
  }

  static var components: [(name: String, build: Build)] {
    [("language", { try build($0, &$1) }), ("vision", { try buildVision($0, &$1) })]
  }

  /// The language model: `input_ids` and `position_ids` [3, batch, sequence] to `logits` [batch, sequence,
  /// vision_vocab_size].
  static func build(_ c: Configuration, _ b: inout GraphBuilder) throws {
    let text = c.textConfig
    let sizes = try DecoderSizes(text, maximumPositions: 131072, epsilon: 1e-5)
    try checkSizes([("vision_vocab_size", text.visionVocabSize)])
    guard text.visionVocabSize <= sizes.vocabulary else {
      throw BessemerError(
        .config, "vision_vocab_size \(text.visionVocabSize) is more than vocab_size \(sizes.vocabulary)")
    }
    if c.tieWordEmbeddings ?? text.tieWordEmbeddings ?? false {
      throw BessemerError(.unsupportedFeature, "tie_word_embeddings is not supported for glm_image")
    }
    let rotary = try RotaryParameters(text, sizes.maximumPositions, defaultPartialFactor: 0.5)
    let sections = (text.ropeParameters ?? text.ropeScaling)?.mropeSection ?? [8, 12, 12]
    let decoder = try Decoder(sizes, rotary: rotary, sections: sections, &b)
    let x = try decoder.sandwichNormLayers(
      "model.language_model", inputBias: text.attentionBias ?? true, activation: text.hiddenAct, &b)
    try b.languageHead(x, sizes, tied: false, rows: text.visionVocabSize)
  }
}
