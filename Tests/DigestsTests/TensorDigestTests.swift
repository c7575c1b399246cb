import Digests
import TestSupport
import Tensors
import Testing

/// Digests of tensors and models, against numbers that Python's hashlib gave (`fixtures/digests/make.py`).
@Suite struct TensorDigestTests {
  private static let fixture = try? Fixtures.json("digests/digests.json")

  /// A tensor of the fixture: bytes by a rule that both sides know.
  private static func tensor(_ json: JSON) throws -> (name: TensorName, tensor: Tensor, digest: String) {
    let dtype = try #require(DType(rawValue: json.required("dtype").asString()))
    let shape = try json.required("shape").asArray().map { try $0.asInt() }
    let count = try #require(Tensor.byteCount(dtype, shape: shape))
    let bytes = Bytes((0..<count).map { UInt8(truncatingIfNeeded: ($0 &* $0) >> 3 &+ $0) })
    let name = TensorName(try json.required("name").asString())
    return (name, try Tensor(dtype, shape: shape, bytes: bytes), try json.required("digest").asString())
  }

  private static func tensors() throws -> [(name: TensorName, tensor: Tensor, digest: String)] {
    try #require(fixture).required("tensors").asArray().map { try tensor($0) }
  }

  @Test func tensorsAgreeWithTheReference() throws {
    let tensors = try TensorDigestTests.tensors()
    #expect(tensors.count >= 8)
    for (name, tensor, digest) in tensors {
      let entry = TensorStore.Entry(name, tensor.dtype, shape: tensor.shape, file: "") { tensor.bytes }
      #expect(try entry.digest().description == digest, "\(name)")
    }
  }

  @Test(arguments: [1, 7, 4096, 786_431, 786_432, 1_000_003]) func piecesDoNotMatter(_ size: Int) throws {
    for (name, tensor, digest) in try TensorDigestTests.tensors() where size > 100 || tensor.bytes.count < 10_000 {
      let stream = TensorStore.Entry(name, tensor.dtype, shape: tensor.shape, file: "") { body in
        for start in stride(from: 0, to: tensor.bytes.count, by: size) {
          try body(tensor.bytes[start..<min(tensor.bytes.count, start + size)])
        }
      }
      #expect(try stream.digest().description == digest, "\(name)")
    }
  }

  @Test func modelsAgreeWithTheReferenceInAnyOrder() throws {
    let tensors = try TensorDigestTests.tensors().map { ($0.name, try #require(Digest(hex: $0.digest))) }
    let model = try #require(TensorDigestTests.fixture).required("model").asString()
    #expect(modelDigest(tensors).description == model)
    #expect(modelDigest(tensors.reversed()).description == model)
    #expect(modelDigest(Array(tensors.dropFirst())).description != model)
  }

  @Test func typeShapeAndEachByteCount() throws {
    let bytes = [UInt8](repeating: 0, count: 12)
    func digest(_ dtype: DType, _ shape: [Int], _ bytes: [UInt8]) throws -> Digest {
      let hasher = TensorHasher(dtype, shape: shape)
      bytes.withUnsafeBytes { hasher.update($0) }
      return hasher.finish()
    }
    var seen: Set<Digest> = []
    for (dtype, shape) in [
      (DType.float32, [3]), (.float32, [1, 3]), (.int32, [3]), (.float16, [6]), (.float16, [2, 3]),
    ] {
      #expect(seen.insert(try digest(dtype, shape, bytes)).inserted)
    }
    for index in bytes.indices {
      var other = bytes
      other[index] = 1
      #expect(seen.insert(try digest(.float32, [3], other)).inserted)
    }
  }
}
