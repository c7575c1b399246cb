public import Tensors

/// Decodes ids one by one, for output that appears while it is generated.
///
/// What ends inside a character is held back until the character is complete. All parts together are what
/// ``Tokenizer/decode(_:skipSpecialTokens:)`` gives for all ids, unless single-byte tokens (`<0xE4>`) make invalid
/// UTF-8: the library then also replaces the valid characters before them, which may have been put out.
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
    guard let token = tokenizer.tokenBytes(id), !token.isEmpty else { return "" }
    if skipsSpecialTokens && tokenizer.isSpecial(id) { return "" }
    ids.append(id)
    let new = try pendingText()
    let isOpen = new.suffix(3) == Self.replacement && ids.count - shownCount < Self.heldBackLimit
    guard !isOpen, !new.isEmpty else { return "" }
    // The ids shown last stay: what the next one looks like may depend on not being the first.
    ids.removeFirst(shownCount)
    shown = Array(try tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    shownCount = ids.count
    return String(decoding: new, as: UTF8.self)
  }

  /// The rest of the text, with what never became a character replaced by U+FFFD. The decoder is empty afterwards.
  public mutating func finish() throws(BessemerError) -> String {
    defer { (ids, shownCount, shown) = ([], 0, []) }
    return String(decoding: try pendingText(), as: UTF8.self)
  }

  private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

  /// The text of the ids that have not been shown.
  private func pendingText() throws(BessemerError) -> [UInt8] {
    let text = Array(try tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    if text.starts(with: shown) { return Array(text[shown.count...]) }
    // Later bytes made what is shown already invalid; it cannot be taken back.
    return Array(try tokenizer.decode(Array(ids[shownCount...]), skipSpecialTokens: skipsSpecialTokens).utf8)
  }
}
