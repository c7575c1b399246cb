internal import CCrypto
internal import Tensors

/// One run of a cipher of libcrypto over bytes that come in pieces, in one direction, without padding.
final class Cipher {
  /// AES in Galois counter mode, its counter alone, AES in chains, and SM4 in chains.
  enum Kind {
    case gcm, counter, cbc, sm4

    init(_ mode: CipherMode) {
      switch mode {
      case .aesGCM: self = .gcm
      case .aesCBC: self = .cbc
      case .sm4CBC: self = .sm4
      }
    }
  }

  static let blockByteCount = 16
  static let tagByteCount = 16
  static let nonceByteCount = 12

  private let context: OpaquePointer

  /// `vector` is the nonce of 12 bytes for `gcm`, else the 16 bytes that the first block starts from.
  init(_ kind: Kind, _ key: CipherKey, vector: [UInt8], encrypts: Bool) throws {
    precondition(vector.count == (kind == .gcm ? Cipher.nonceByteCount : Cipher.blockByteCount))
    guard let context = EVP_CIPHER_CTX_new() else { throw BessemerError(.memory, "no memory for a cipher") }
    self.context = context
    // Key and vector have the lengths that the cipher reads.
    guard let cipher = Cipher.algorithm(kind, keyByteCount: key.bytes.count),
      EVP_CipherInit_ex(context, cipher, nil, key.bytes, vector, encrypts ? 1 : 0) == 1,
      EVP_CIPHER_CTX_set_padding(context, 0) == 1
    else { throw BessemerError(.key, "libcrypto has no such cipher for keys of \(key.bytes.count) bytes") }
  }

  deinit { EVP_CIPHER_CTX_free(context) }

  /// Works on `source`, in whole blocks unless it is the end of a stream; `target` gets as many bytes, and may be the
  /// same memory.
  func update(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws {
    precondition(target.count >= source.count)
    var done = 0
    while done < source.count {
      // The call counts in 32 bits; it writes exactly what it reads, as no padding is held back.
      let count = min(source.count - done, 1 << 30)
      var written: Int32 = 0
      let result = EVP_CipherUpdate(
        context, target.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: done), &written,
        source.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: done), Int32(count))
      guard result == 1, Int(written) == count else {
        throw BessemerError(.key, "libcrypto failed on \(count) bytes")
      }
      done += count
    }
  }

  /// Works on a window of a file, which is read into `target` first, so that none of its pages stay in memory.
  func update(_ window: Bytes, inPlaceOf target: UnsafeMutableRawBufferPointer) throws {
    precondition(target.count >= window.count)
    guard let base = target.baseAddress else { return }
    try window.read(into: base)
    let part = UnsafeMutableRawBufferPointer(start: base, count: window.count)
    try update(UnsafeRawBufferPointer(part), into: part)
  }

  /// The tag of all that was encrypted.
  func tag() throws -> [UInt8] {
    var tag = [UInt8](repeating: 0, count: Cipher.tagByteCount)
    var written: Int32 = 0
    // Nothing is left to be written, the tag has its 16 bytes.
    var end = [UInt8](repeating: 0, count: Cipher.blockByteCount)
    guard EVP_CipherFinal_ex(context, &end, &written) == 1,
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tag.count), &tag) == 1
    else { throw BessemerError(.key, "libcrypto gave no tag") }
    return tag
  }

  /// Whether `tag` belongs to all that was decrypted.
  func accepts(tag: [UInt8]) -> Bool {
    precondition(tag.count == Cipher.tagByteCount)
    var tag = tag
    var written: Int32 = 0
    var end = [UInt8](repeating: 0, count: Cipher.blockByteCount)
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), &tag) == 1
      && EVP_CipherFinal_ex(context, &end, &written) == 1
  }

  /// Bytes that nobody can guess.
  static func random(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard RAND_bytes(&bytes, Int32(count)) == 1 else { throw BessemerError(.outputFailed, "no random numbers") }
    return bytes
  }

  private static func algorithm(_ kind: Kind, keyByteCount: Int) -> OpaquePointer? {
    switch (kind, keyByteCount) {
    case (.gcm, 16): EVP_aes_128_gcm()
    case (.gcm, 24): EVP_aes_192_gcm()
    case (.gcm, 32): EVP_aes_256_gcm()
    case (.counter, 16): EVP_aes_128_ctr()
    case (.counter, 24): EVP_aes_192_ctr()
    case (.counter, 32): EVP_aes_256_ctr()
    case (.cbc, 16): EVP_aes_128_cbc()
    case (.cbc, 24): EVP_aes_192_cbc()
    case (.cbc, 32): EVP_aes_256_cbc()
    case (.sm4, 16): EVP_sm4_cbc()
    default: nil
    }
  }
}
