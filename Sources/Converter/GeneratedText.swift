public import Tokenizers

/// The text of tokens as they come, up to the first stop text.
public struct GeneratedText {
  private var decoder: StreamDecoder
  private let stops: [[UInt8]]
  /// Bytes that could still become part of a stop text.
  private var held: [UInt8] = []
  private var isStopped = false
  public private(set) var tokens: [Int] = []
  /// Everything so far.
  public private(set) var text = ""

  public init(_ tokenizer: Tokenizer, stops: [String]) {
    decoder = StreamDecoder(tokenizer)
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// What the token adds that is certain, and whether the text goes on.
  public mutating func append(_ token: Int) throws -> (fresh: String, goesOn: Bool) {
    tokens.append(token)
    return (release(try decoder.append(Int32(clamping: token)), atEnd: false), !isStopped)
  }

  /// What was held back.
  public mutating func finish() throws -> String { isStopped ? "" : release(try decoder.finish(), atEnd: true) }

  private mutating func release(_ addition: String, atEnd: Bool) -> String {
    held += addition.utf8
    var end = held.count
    if let stop = stops.compactMap({ occurrence(of: $0) }).min() {
      (end, isStopped) = (stop, true)
    } else if !atEnd {
      end -= stops.map { unfinished($0) }.max() ?? 0
    }
    // A stop text begins at a character, so what comes before it is whole characters.
    let fresh = String(decoding: held[..<end], as: UTF8.self)
    held.removeFirst(end)
    text += fresh
    return fresh
  }

  private func occurrence(of stop: [UInt8]) -> Int? {
    guard held.count >= stop.count else { return nil }
    return (0...held.count - stop.count).first { held[$0..<$0 + stop.count].elementsEqual(stop) }
  }

  /// The length of the longest end of `held` that begins `stop`.
  private func unfinished(_ stop: [UInt8]) -> Int {
    (1..<max(stop.count, 1)).reversed().first { $0 <= held.count && held.suffix($0).elementsEqual(stop.prefix($0)) }
      ?? 0
  }
}
