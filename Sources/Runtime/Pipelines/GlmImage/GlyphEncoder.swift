internal import IR
public import Tensors
public import Tokenizers

/// Encodes the texts that a picture should show, letter by letter: what stands in quotation marks in a prompt.
///
/// Source: `_get_glyph_embeds` in `pipeline_glm_image.py` of diffusers.
public final class GlyphEncoder {
  private let session: Session
  private let tokenizer: ByteTokenizer

  /// Tokens of one text, its end included.
  public static let maximumLength = 2048
  /// Texts of one prompt.
  public static let maximumTextCount = 1024

  /// The model is the encoder of ByT5.
  public init(_ session: Session, tokenizer: ByteTokenizer) throws {
    let graph = session.model.graph
    guard graph.input(named: "input_ids") != nil, graph.outputs.contains(where: { $0.name == "last_hidden_state" })
    else {
      throw BessemerError(.modelInput, "the model does not encode text: it has no input_ids or no last_hidden_state")
    }
    self.session = session
    self.tokenizer = tokenizer
  }

  /// The vectors of all texts of each prompt after one another, [prompts, length, width]; shorter ones have zeros
  /// before them.
  public func encode(_ prompts: [String]) throws -> Tensor {
    guard !prompts.isEmpty else { throw BessemerError(.modelInput, "there is no prompt") }
    let vectors = try prompts.map { try encode($0) }
    let (length, width) = (vectors.map(\.shape[0]).max() ?? 0, vectors[0].shape[1])
    let values = vectors.flatMap { [Float](repeating: 0, count: (length - $0.shape[0]) * width) + $0.floats }
    return Tensor(values, shape: [prompts.count, length, width])
  }

  /// The vectors of one prompt's texts, [length, width].
  private func encode(_ prompt: String) throws -> Tensor {
    let rows = try GlyphEncoder.ids(of: prompt, tokenizer)
    let longest = rows.map(\.count).max() ?? 0
    func padded(_ row: [Int64]) -> [Int64] { row + [Int64](repeating: 0, count: longest - row.count) }
    let shape = [rows.count, longest]
    session.reset()
    let outputs = try session.run(
      [
        "input_ids": Tensor(rows.flatMap { padded($0) }, shape: shape),
        "attention_mask": Tensor(rows.flatMap { padded($0.map { _ in Int64(1) }) }, shape: shape),
      ], outputs: ["last_hidden_state"])
    guard let states = outputs["last_hidden_state"] else { preconditionFailure("no last_hidden_state") }
    let (values, width) = (states.floats, states.shape[2])
    let kept = rows.enumerated().flatMap { k, row in
      values[(k * longest * width)..<(k * longest + row.count) * width]
    }
    return Tensor(kept, shape: [rows.reduce(0) { $0 + $1.count }, width])
  }

  /// The tokens of each text. All have a padding token before them, which counts, when there is an even number of
  /// texts: the models were trained so.
  static func ids(of prompt: String, _ tokenizer: ByteTokenizer) throws -> [[Int64]] {
    var texts = texts(in: prompt)
    guard texts.count <= maximumTextCount else {
      throw BessemerError(.limit, "the prompt has \(texts.count) texts in quotation marks, over \(maximumTextCount)")
    }
    if texts.isEmpty { texts = [""] }
    let padding = texts.count % 2 == 0 ? [Int64(tokenizer.padding)] : []
    return try texts.map { padding + (try tokenizer.encode($0, maxLength: maximumLength).map { Int64($0) }) }
  }

  /// What stands in quotation marks, by kind of mark and then from left to right.
  public static func texts(in prompt: String) -> [String] {
    let scalars = Array(prompt.unicodeScalars)
    return [("'", "'"), ("\u{201C}", "\u{201D}"), ("\"", "\""), ("\u{300C}", "\u{300D}")].flatMap { open, close in
      texts(in: scalars, from: open, to: close)
    }
  }

  /// Texts between `open` and `close` that have neither inside.
  private static func texts(in scalars: [Unicode.Scalar], from open: Unicode.Scalar, to close: Unicode.Scalar)
    -> [String]
  {
    var results: [String] = []
    var start: Int?
    for (place, scalar) in scalars.enumerated() {
      if let begin = start, scalar == close {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[begin..<place])
        results.append(String(text))
        start = nil
      } else if scalar == open {
        start = place + 1
      }
    }
    return results
  }
}
