import Tensors
import Testing
import Validation

@Suite struct OutputComparisonTests {
  private let thresholds = Thresholds(relativeError: 0.1, cosine: 0.99)

  private func compare(_ a: [Float], _ b: [Float], name: String = "y", width: Int? = nil) throws -> OutputComparison {
    let shape = width.map { [a.count / $0, $0] } ?? [a.count]
    return try OutputComparison(
      name, reference: Tensor(a, shape: shape), candidate: Tensor(b, shape: shape), thresholds: thresholds)
  }

  @Test func equalOutputs() throws {
    let result = try compare([1, -2, 3], [1, -2, 3])
    #expect(abs(result.cosine - 1) < 1e-15 && result.largestError == 0 && result.largestRelativeError == 0)
    #expect(result.passes && result.nonFiniteMismatches == 0 && result.topOneAgreement == 1)
    #expect(result.name == "y" && result.shape == [3])
  }

  @Test func knownDistances() throws {
    let result = try compare([3, 4], [4, 3])
    #expect(abs(result.cosine - 0.96) < 1e-12)
    #expect(result.largestError == 1 && result.largestRelativeError == 0.25)
    #expect(!result.passes)
    #expect(try abs(compare([1, 0], [0, 1]).cosine) < 1e-15)
    #expect(try abs(compare([1, 2], [-1, -2]).cosine + 1) < 1e-15)
    #expect(try compare([1, 10], [1, 10.9]).passes)
    #expect(try !compare([1, 10], [1, 11.1]).passes)
  }

  @Test func zeros() throws {
    #expect(try compare([0, 0], [0, 0]).passes)
    let result = try compare([0, 0], [0, 1])
    #expect(result.cosine == 0 && result.largestRelativeError == .infinity && !result.passes)
    #expect(try compare([0, 1], [0, 0]).cosine == 0)
    #expect(try compare([], []).passes)
  }

  @Test func valuesThatAreNoNumbers() throws {
    #expect(try compare([.nan, .infinity, 1], [.nan, .infinity, 1]).passes)
    #expect(try compare([.nan, 2, 1], [1, 2, 1]).nonFiniteMismatches == 1)
    let result = try compare([1, .infinity, 2], [.nan, -.infinity, 2])
    #expect(result.nonFiniteMismatches == 2 && !result.passes && result.largestError == 0)
  }

  @Test func firstChoices() throws {
    let result = try compare([1, 2, 3, 3, 2, 1, 0, 5, 5], [1, 2, 4, 2, 3, 1, 0, 5, 5], name: "logits", width: 3)
    #expect(result.topOneAgreement.map { abs($0 - 2 / 3) < 1e-12 } == true)
    #expect(try compare([], [], name: "logits").topOneAgreement == nil)
  }

  @Test func shapesMustAgree() throws {
    #expect {
      try OutputComparison(
        "y", reference: Tensor([1] as [Float], shape: [1]), candidate: Tensor([1] as [Float], shape: [1, 1]),
        thresholds: thresholds)
    } throws: { ($0 as? BessemerError)?.code == .comparison }
  }

  @Test func narrowerTypesHaveMoreRoom() {
    let all = [DType.float32, .float16, .bfloat16, .int8].map { Thresholds(for: $0) }
    #expect(zip(all, all.dropFirst()).allSatisfy { $0.relativeError < $1.relativeError && $0.cosine > $1.cosine })
  }

  @Test func narrowTypesAreCompared() throws {
    let a = try Tensor(.bfloat16, shape: [2], doubles: [1, 2])
    let result = try OutputComparison("y", reference: a, candidate: a.cast(to: .float32), thresholds: thresholds)
    #expect(result.passes)
  }
}
