internal import CCrypto
public import Tensors

/// A SHA-256 digest.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
  /// 32 bytes.
  public let bytes: [UInt8]

  init(_ bytes: [UInt8]) {
    precondition(bytes.count == 32)
    self.bytes = bytes
  }

  /// The digest written as 64 lower-case hexadecimal digits; nil for any other text.
  public init?(hex: String) {
    let digits = Array(hex.utf8)
    guard digits.count == 64 else { return nil }
    var bytes: [UInt8] = []
    for k in stride(from: 0, to: 64, by: 2) {
      guard let high = Digest.value(digits[k]), let low = Digest.value(digits[k + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    self.init(bytes)
  }

  /// 64 lower-case hexadecimal digits.
  public var description: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}

/// Computes a SHA-256 digest piece by piece.
public final class SHA256 {
  private let context: OpaquePointer

  public init() {
    // Only fails without memory for a few hundred bytes, or on a system without SHA-256.
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      fatalError("libcrypto has no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  public func update(_ bytes: UnsafeRawBufferPointer) {
    guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else { fatalError("SHA-256 failed") }
  }

  /// The digest of all bytes so far; nothing may be added afterwards.
  public func finish() -> Digest {
    var bytes = [UInt8](repeating: 0, count: 32)
    // The buffer has the 32 bytes that a SHA-256 digest takes.
    guard EVP_DigestFinal_ex(context, &bytes, nil) == 1 else { fatalError("SHA-256 failed") }
    return Digest(bytes)
  }

  /// The digest of bytes in memory.
  public static func digest(of bytes: UnsafeRawBufferPointer) -> Digest {
    let hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  /// The digest of bytes that may be a mapped file, whose pages are given back. `progress` is called with the bytes
  /// done since the last call.
  public static func digest(of bytes: Bytes, progress: (Int) -> Void = { _ in }) throws -> Digest {
    let hash = SHA256()
    for start in stride(from: 0, to: bytes.count, by: 1 << 22) {
      try Interrupt.check()
      let piece = bytes[start..<min(bytes.count, start + 1 << 22)]
      piece.withUnsafeBytes { hash.update($0) }
      piece.releasePages()
      progress(piece.count)
    }
    return hash.finish()
  }
}
