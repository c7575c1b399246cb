public import Tensors
public import Tokenizers

/// The tokens by which GLM-Image's prompts are laid out.
public struct VisualVocabulary: Sendable, Equatable {
  /// Stands for a token of a picture until it is known.
  public var placeholder: Int32
  /// Before and after the tokens of a picture.
  public var start: Int32
  public var end: Int32
  /// Visual tokens are those below.
  public var codeCount: Int

  /// Reads the config.json of the `vision_language_encoder`.
  public init(config: JSON) throws {
    func token(_ key: String) throws -> Int32 {
      Int32(try config.required(key).asInt(in: 0...Int(Int32.max)))
    }
    placeholder = try token("image_token_id")
    start = try token("image_start_token_id")
    end = try token("image_end_token_id")
    codeCount = try config.required("vq_config").required("num_embeddings").asInt(in: 1...1 << 31)
  }
}

/// A prompt of GLM-Image's language model: tokens with their positions, ready to be continued by visual tokens.
///
/// The text is `{picture}…{text}<sop>{rows} {columns}<eop>`, for new pictures the same of the preview, and the token
/// that begins a picture; a picture to edit is its visual tokens between the tokens that begin and end one. Source:
/// `processing_glm_image.py` of transformers, and the chat template of the release, which adds nothing.
public struct VisualPrompt: Sendable, Equatable {
  public let ids: [Int32]
  public let positions: VisualPositions
  public let grids: TargetGrids

  /// A picture to edit: its grid, and its visual tokens row by row.
  public typealias Source = (grid: VisualGrid, tokens: [Int64])

  /// - Parameters:
  ///   - text: what the picture should show.
  ///   - grids: those of the picture to make, from `TargetGrids`.
  /// - Throws: ``ErrorCode/modelInput`` when the text itself has tokens that begin or end pictures.
  public init(
    _ text: String, sources: [Source] = [], grids: TargetGrids, tokenizer: Tokenizer, vocabulary: VisualVocabulary
  ) throws {
    func name(_ id: Int32) throws -> String {
      guard let token = tokenizer.token(of: id) else {
        throw BessemerError(.tokenizer, "the tokenizer has no token \(id), by which config.json lays out prompts")
      }
      return token
    }
    let (start, end, placeholder) = (
      try name(vocabulary.start), try name(vocabulary.end), try name(vocabulary.placeholder)
    )
    for token in ["<sop>", "<eop>"] where tokenizer.id(of: token) == nil {
      throw BessemerError(.tokenizer, "the tokenizer has no token \(token)")
    }
    var whole = sources.map { _ in start + placeholder + end }.joined() + text
    for grid in [grids.target] + (grids.preview.map { [$0] } ?? []) {
      whole += "<sop>\(grid.height) \(grid.width)<eop>"
    }
    // A text that begins with the token sequences begin with gets no other.
    let tokens = try tokenizer.encode(whole + start, addSpecialTokens: !whole.hasPrefix(start))
    var remaining = sources[...]
    ids = try tokens.flatMap { token -> [Int32] in
      guard token == vocabulary.placeholder else { return [token] }
      guard let source = remaining.popFirst(), source.tokens.count == source.grid.count,
        source.tokens.allSatisfy({ $0 >= 0 && $0 < vocabulary.codeCount })
      else { throw BessemerError(.modelInput, "the prompt has a token \(placeholder), but no picture for it") }
      return source.tokens.map { Int32($0) }
    }
    self.grids = grids
    positions = try VisualPositions(
      ids, sources: sources.map(\.grid), targets: (grids.preview.map { [$0] } ?? []) + [grids.target],
      start: vocabulary.start, end: vocabulary.end)
  }
}
