public import Tensors

/// Decodes ids one by one, for output that appears while it is generated.
///
/// What ends inside a character is held back until the character is complete. All parts together are what
/// ``Tokenizer/decode(_:skipSpecialTokens:)`` gives for all ids.
public struct StreamDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipsSpecialTokens: Bool
  /// The ids that the text of the next one may depend on.
  private var ids: [Int32] = []
  /// How many of `ids` have been put out; their text is `shown`.
  private var shownCount = 0
  private var shown: [UInt8] = []
  /// The most ids that are held back.
  private static let heldBackLimit = 64

  /// A decoder at the start of a text.
  public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    skipsSpecialTokens = skipSpecialTokens
  }

  /// Takes the next id and returns the text that is complete now; often empty.
  public mutating func append(_ id: Int32) throws(BessemerError) -> String {
    guard let token = tokenizer.tokenBytes(id), !(skipsSpecialTokens && tokenizer.isSpecial(id)) else { return "" }
    if token.isEmpty { return "" }
    ids.append(id)
    let text = Array(try tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    let isOpen = text.suffix(3) == [0xEF, 0xBF, 0xBD] && ids.count - shownCount < Self.heldBackLimit
    guard !isOpen, text.count >= shown.count, text.starts(with: shown) else { return "" }
    let new = String(decoding: text[shown.count...], as: UTF8.self)
    guard !new.isEmpty else { return "" }
    // The last shown ids stay: what the next one looks like may depend on not being the first.
    ids.removeFirst(shownCount)
    shown = Array(try tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    shownCount = ids.count
    return new
  }

  /// The rest of the text, with what never became a character replaced by U+FFFD. The decoder is empty afterwards.
  public mutating func finish() throws(BessemerError) -> String {
    let text = Array(try tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    (ids, shownCount, shown) = ([], 0, [])
    return text.starts(with: shown) ? String(decoding: text[min(shown.count, text.count)...], as: UTF8.self) : ""
  }
}
