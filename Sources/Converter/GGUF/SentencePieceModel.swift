internal import Tensors

/// The pieces of a SentencePiece model, `tokenizer.model`: a protobuf message whose field 1 is a piece, of a text, a
/// score and a type.
struct SentencePieceModel {
  let pieces: [(text: String, score: Float, kind: GGUFVocabulary.Kind)]

  static let maximumPieceCount = 1 << 22

  init(_ bytes: Bytes) throws {
    var pieces: [(text: String, score: Float, kind: GGUFVocabulary.Kind)] = []
    var fields = WireReader(ByteReader(bytes))
    while let field = try fields.next() {
      guard field.number == 1, case .bytes(let message) = field.value else { continue }
      guard pieces.count < SentencePieceModel.maximumPieceCount else {
        throw BessemerError(.limit, "more than \(SentencePieceModel.maximumPieceCount) pieces")
      }
      pieces.append(try SentencePieceModel.piece(message))
    }
    guard !pieces.isEmpty else { throw BessemerError(.tokenizer, "holds no piece, expected a SentencePiece model") }
    self.pieces = pieces
  }

  private static func piece(_ message: ByteReader) throws -> (text: String, score: Float, kind: GGUFVocabulary.Kind) {
    var (text, score, kind) = ("", Float(0), GGUFVocabulary.Kind.normal)
    var fields = WireReader(message)
    while let field = try fields.next() {
      switch (field.number, field.value) {
      case (1, .bytes(var value)): text = try value.text(value.remaining, "a piece")
      case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
      case (3, .varint(let number)):
        // The numbers are those of GGUF files.
        guard let known = Int(exactly: number).flatMap(GGUFVocabulary.Kind.init) else {
          throw BessemerError(.tokenizer, "a piece of the unknown type \(number)")
        }
        // Pieces that a user defined are taken for any other.
        kind = known == .userDefined ? .normal : known
      default: break
      }
    }
    return (text, score, kind)
  }
}
