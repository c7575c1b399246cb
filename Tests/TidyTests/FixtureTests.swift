import Testing

/// Fixtures stay small, and say how they were made.
@Suite struct FixtureTests {
  private static let maximumByteCount = 4 << 20
  private static let maximumTotal = 12 << 20
  private static let paths = Repository.paths.filter { $0.hasPrefix("fixtures/") }

  @Test func fixturesAreSmall() {
    let sizes = Self.paths.map { (path: $0, byteCount: Repository.byteCount($0)) }
    #expect(!sizes.isEmpty)
    for file in sizes { #expect(file.byteCount <= Self.maximumByteCount, "\(file.path) has \(file.byteCount) bytes") }
    let total = sizes.reduce(0) { $0 + $1.byteCount }
    #expect(total <= Self.maximumTotal, "fixtures take \(total) bytes together")
  }

  @Test func nothingElseIsLarge() {
    for path in Repository.paths where !path.hasPrefix("fixtures/") {
      #expect(Repository.byteCount(path) <= 256 << 10, "\(path)")
    }
  }
}
