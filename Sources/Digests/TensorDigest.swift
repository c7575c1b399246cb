public import Tensors

/// Computes the digest of a tensor: over type, shape and row-major values, the same in whatever format it is stored.
///
/// The bytes, little-endian and packed as in ``Tensor``, are cut into leaves of ``leafByteCount``, the last one maybe
/// shorter. The digest is the SHA-256 of the text `bessemer.tensor/1 bf16[2,3]` and a newline, followed by the SHA-256
/// of each leaf: leaves can be hashed on several threads.
public final class TensorHasher {
  /// Bytes of a leaf: whole elements of every type, those of 6 bits too, and small enough for a cache.
  public static let leafByteCount = 3 << 18

  private let hash = SHA256()
  private var leaf = SHA256()
  private var leafCount = 0

  public init(_ dtype: DType, shape: [Int]) {
    var start = "bessemer.tensor/1 \(TensorType(dtype, shape: shape))\n"
    start.withUTF8 { hash.update(UnsafeRawBufferPointer($0)) }
  }

  /// Adds the next bytes, as many as there are; elements may be cut.
  public func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let count = min(rest.count, TensorHasher.leafByteCount - leafCount)
      leaf.update(UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      leafCount += count
      if leafCount == TensorHasher.leafByteCount { endLeaf() }
    }
  }

  /// Adds the digest of the next leaf, which was computed elsewhere; not to be mixed with bytes.
  public func update(leaf: Digest) {
    precondition(leafCount == 0, "a leaf is incomplete")
    leaf.bytes.withUnsafeBytes { hash.update($0) }
  }

  /// The digests of the leaves of bytes that start with one, 32 bytes each; on any thread.
  public static func leafDigests(of bytes: Bytes) -> [UInt8] {
    stride(from: 0, to: bytes.count, by: leafByteCount).flatMap { start in
      let hash = SHA256()
      bytes[start..<min(start + leafByteCount, bytes.count)].withUnsafeBytes { hash.update($0) }
      return hash.finish().bytes
    }
  }

  /// Adds what ``leafDigests(of:)`` gave for the next bytes.
  public func update(leafDigests: [UInt8]) {
    precondition(leafCount == 0 && leafDigests.count % 32 == 0, "a leaf is incomplete")
    leafDigests.withUnsafeBytes { hash.update($0) }
  }

  /// The digest of all bytes so far; nothing may be added afterwards.
  public func finish() -> Digest {
    if leafCount > 0 { endLeaf() }
    return hash.finish()
  }

  private func endLeaf() {
    let digest = leaf.finish()
    leaf = SHA256()
    leafCount = 0
    update(leaf: digest)
  }
}

/// The digest of a model: one for the names and digests of all its tensors, whatever their order and format.
///
/// It is the SHA-256 of the text `bessemer.model/1` and a newline, followed for each tensor, by the bytes of the names
/// in rising order, by the number of bytes of its name as 8 bytes, the lowest first, the name, and the 32 bytes of its
/// digest. Metadata does not count.
public func modelDigest(_ tensors: [(name: TensorName, digest: Digest)]) -> Digest {
  let hash = SHA256()
  func add(_ text: String) {
    var text = text
    text.withUTF8 { hash.update(UnsafeRawBufferPointer($0)) }
  }
  add("bessemer.model/1\n")
  for (name, digest) in tensors.sorted(by: { $0.name < $1.name }) {
    withUnsafeBytes(of: UInt64(name.string.utf8.count).littleEndian) { hash.update($0) }
    add(name.string)
    digest.bytes.withUnsafeBytes { hash.update($0) }
  }
  return hash.finish()
}

extension TensorStore.Entry {
  /// The digest of the tensor, whose bytes are read once, in order. Throws what reading them throws.
  public func digest() throws -> Digest {
    let hasher = TensorHasher(dtype, shape: shape)
    try forEachPiece(of: TensorHasher.leafByteCount) { piece in piece.withUnsafeBytes { hasher.update($0) } }
    return hasher.finish()
  }
}
