internal import Tensors

/// The key of encrypted checkpoints, used as it is: 16, 24 or 32 bytes. It is never printed.
public struct CipherKey: Sendable {
  let bytes: [UInt8]

  /// Bytes of a key's text: the longest key in hexadecimal digits, `hex:` before and a line's end after it.
  private static let maximumTextByteCount = 4 + 64 + 2

  /// The key that a text holds: 16, 24 or 32 characters taken as bytes, or `hex:` and twice as many hexadecimal
  /// digits. A line's end after it is no part of it. Throws ``ErrorCode/key`` for any other length.
  public init(text: [UInt8]) throws {
    let prefix = Array("hex:".utf8)
    var text = text
    if !CipherKey.isLength(text.count) {
      if text.last == UInt8(ascii: "\n") { text.removeLast() }
      if text.last == UInt8(ascii: "\r") { text.removeLast() }
    }
    if text.starts(with: prefix), !CipherKey.isLength(text.count) {
      let digits = text.dropFirst(prefix.count).map { Character(Unicode.Scalar($0)).hexDigitValue }
      guard digits.count % 2 == 0, !digits.contains(nil) else {
        throw BessemerError(.key, "the key after hex: is not written in pairs of hexadecimal digits")
      }
      let values = digits.compactMap { $0 }
      text = stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
    }
    guard CipherKey.isLength(text.count) else {
      throw BessemerError(
        .key, "the key has \(text.count) bytes, expected 16, 24 or 32, or hex: and twice as many digits")
    }
    bytes = text
  }

  /// The key that a file holds.
  public init(file path: String) throws {
    self = try inFile(path) {
      let file = try InputFile(path: path)
      guard file.byteCount <= CipherKey.maximumTextByteCount else {
        throw BessemerError(.key, "has \(file.byteCount) bytes, a key has 16, 24 or 32")
      }
      return try CipherKey(text: file.readAll(limit: CipherKey.maximumTextByteCount).array)
    }
  }

  private static func isLength(_ count: Int) -> Bool { [16, 24, 32].contains(count) }
}

/// How MindSpore encrypts checkpoints.
public enum CipherMode: String, Sendable, CaseIterable {
  case aesGCM = "AES-GCM"
  case aesCBC = "AES-CBC"
  case sm4CBC = "SM4-CBC"

  /// The mode by its name, in any case.
  public init?(word: String) {
    guard let mode = CipherMode.allCases.first(where: { $0.rawValue.lowercased() == word.lowercased() }) else {
      return nil
    }
    self = mode
  }

  /// What the blocks of a file start with, the least significant byte first.
  var mark: UInt32 {
    switch self {
    case .aesGCM: 0x7F3A_5ED8
    case .aesCBC: 0x7F3A_5ED9
    case .sm4CBC: 0x7F3A_5EDA
    }
  }

  /// The mode that a file of this start is encrypted with; nil for one that is not.
  init?(start: [UInt8]) {
    let mark = start.prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard start.count >= 4, let mode = CipherMode.allCases.first(where: { $0.mark == mark }) else { return nil }
    self = mode
  }
}

/// What a checkpoint is encrypted with.
public struct Encryption: Sendable {
  let mode: CipherMode
  let key: CipherKey

  /// Throws ``ErrorCode/key`` when the mode does not take a key of this length.
  public init(_ mode: CipherMode, _ key: CipherKey) throws {
    guard mode != .sm4CBC || key.bytes.count == 16 else {
      throw BessemerError(.key, "the key has \(key.bytes.count) bytes, \(mode.rawValue) takes 16")
    }
    self.mode = mode
    self.key = key
  }
}
