import TestSupport
import Tensors
import Testing
import Validation

/// What two stores differ in, against numbers computed plainly.
@Suite struct DiffTests {
  private func store(_ tensors: [(String, Tensor)], file: String) throws -> TensorStore {
    var store = TensorStore()
    for (name, tensor) in tensors { try store.append(RelationPlan.entry(name, tensor, file: file)) }
    return store
  }

  private func diff(
    _ a: [(String, Tensor)], _ b: [(String, Tensor)], _ match: CheckpointDiff.Match = .content
  ) throws -> CheckpointDiff {
    try CheckpointDiff(store(a, file: "a"), store(b, file: "b"), match: match, threads: 2)
  }

  @Test func theSameIsTheSame() throws {
    var random = SplitMix64(seed: 1)
    let tensors = try (0..<5).map { ("t\($0)", try Matrix(3 + $0, 7, &random).tensor()) }
    for match in CheckpointDiff.Match.allCases {
      let diff = try diff(tensors, tensors.reversed(), match)
      #expect(diff.isEmpty && diff.equalCount == 5)
    }
  }

  @Test(arguments: 1...8) func differencesAreCounted(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let types: [DType] = [.float32, .float16, .bfloat16, .float64, .int16, .float8e4m3fn]
    let (from, to) = (types[Int(random.next() % 6)], types[Int(random.next() % 6)])
    // More than one piece.
    let values = (0..<140_000).map { _ in Double(random.signedUnit()) * 90 }
    let others = values.map { random.next() % 3 == 0 ? $0 + 1.5 : $0 }
    let (a, b) = (
      try Tensor(from, shape: [140_000], doubles: values), try Tensor(to, shape: [140_000], doubles: others)
    )
    let result = try diff([("x", a)], [("x", b)], .names)
    let change = try #require(result.changed.first?.difference)
    let pairs = zip(a.doubles, b.doubles)
    let apart = pairs.map { abs($0 - $1) }
    #expect(change.elementCount == 140_000 && change.changedCount == apart.count { $0 > 0 })
    #expect(change.largest == apart.max() && change.nonFiniteCount == 0)
    #expect(abs(change.mean - apart.reduce(0, +) / 140_000) < 1e-9)
    let (xy, xx, yy) = pairs.reduce((0.0, 0.0, 0.0)) { ($0.0 + $1.0 * $1.1, $0.1 + $1.0 * $1.0, $0.2 + $1.1 * $1.1) }
    #expect(abs(change.cosine - xy / (xx * yy).squareRoot()) < 1e-9)
  }

  @Test func bitsCountWhereTypesAreEqual() throws {
    let a = Tensor([0, 1, .nan, .infinity], shape: [4])
    let b = Tensor([-0.0, 1, -.nan, 5], shape: [4])
    let change = try #require(try diff([("x", a)], [("x", b)]).changed.first?.difference)
    #expect(change.changedCount == 3 && change.nonFiniteCount == 1 && change.largest == 0)
    let cast = try #require(try diff([("x", a)], [("x", b.cast(to: .float64))]).changed.first?.difference)
    #expect(cast.changedCount == 1)
  }

  @Test func shapesThatDifferAreNotCompared() throws {
    let (a, b) = (Tensor([1.5, 2, 3, 4], shape: [4]), Tensor([1.5, 2, 3, 4], shape: [2, 2]))
    #expect(try diff([("x", a)], [("x", b)]).changed.first?.difference?.changedCount == 0)
    #expect(try diff([("x", a)], [("x", Tensor([1.5], shape: [1]))]).changed.first?.difference == nil)
  }

  @Test(arguments: [DType.float32, .bfloat16]) func renamedTensorsArePaired(dtype: DType) throws {
    var random = SplitMix64(seed: 4)
    let all = (0..<6).map { _ in Matrix(12, 12, &random) }
    let zero = Matrix([[Float]](repeating: [Float](repeating: 0, count: 12), count: 12))
    let old =
      try all.enumerated().map { ("old.\($0)", try $1.tensor()) } + [("z1", try zero.tensor())]
      + [("z2", try zero.tensor()), ("gone", try Matrix(2, 2, &random).tensor())]
    let new =
      try all.enumerated().map { ("new.\($0)", try ($0 % 2 == 0 ? $1 : $1.transposed).tensor(dtype)) }
      + [("a", try zero.tensor(dtype)), ("b", try zero.tensor(dtype)), ("extra", try Matrix(2, 2, &random).tensor())]
    let result = try diff(old, new)
    #expect(result.removed.map(\.name) == ["gone"] && result.added.map(\.name) == ["extra"])
    #expect(result.renamed.count == 8 && result.changed.isEmpty)
    for rename in result.renamed where rename.new.name.string.hasPrefix("new.") {
      #expect(rename.relation.sources == [TensorName("old." + rename.new.name.string.dropFirst(4))])
      #expect(rename.equals.isEmpty)
    }
    let ambiguous = result.renamed.filter { !$0.equals.isEmpty }
    #expect(ambiguous.map(\.new.name).sorted() == ["a", "b"])
    #expect(Set(ambiguous.flatMap(\.relation.sources)) == ["z1", "z2"])
    let byName = try diff(old, new, .names)
    #expect(byName.removed.count == 9 && byName.added.count == 9 && byName.renamed.isEmpty)
  }

  @Test func tensorsThatChangedPlacesAreRenamed() throws {
    var random = SplitMix64(seed: 5)
    let (x, y) = (try Matrix(6, 5, &random).tensor(), try Matrix(6, 5, &random).tensor())
    let result = try diff([("x", x), ("y", y)], [("x", y), ("y", x)])
    #expect(result.renamed.count == 2 && result.changed.isEmpty && result.removed.isEmpty && result.added.isEmpty)
  }

  @Test func similarTensorsArePaired() throws {
    var random = SplitMix64(seed: 6)
    let all = (0..<5).map { _ in Matrix(30, 20, &random) }
    let trained = all.map { matrix in Matrix(matrix.rows.map { $0.map { $0 + 0.05 * random.signedUnit() } }) }
    let old = try all.enumerated().map { ("old.\($0)", try $1.tensor()) }
    let new = try trained.enumerated().map { ("new.\($0)", try ($0 == 1 ? $1.transposed : $1).tensor()) }
    let result = try diff(old, new)
    #expect(result.renamed.count == 5)
    for rename in result.renamed {
      #expect(rename.relation.sources == [TensorName("old." + rename.new.name.string.dropFirst(4))])
      #expect(rename.difference.map { $0.cosine > 0.99 && $0.largest < 0.06 } == true)
    }
  }
}
