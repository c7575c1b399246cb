import Glibc
import Tensors
import TestSupport
import Testing

@Suite struct AtomicWriterTests {
  struct Failure: Error {}

  @Test func writes() throws {
    let scratch = Scratch()
    let big = [UInt8](repeating: 7, count: 3_000_000)
    try AtomicWriter.write(to: scratch("a"), byteCount: 3_000_009) { writer in
      try writer.write("head")
      try writer.write(big)
      try writer.write("tail!")
      #expect(writer.position == 3_000_009)
    }
    let bytes = try InputFile.contents(of: scratch("a")).array
    #expect(
      bytes.count == 3_000_009 && bytes.prefix(4) == Array("head".utf8)[...]
        && bytes.suffix(5) == Array("tail!".utf8)[...])
    #expect(scratch.names == ["a"])
  }

  @Test func leavesNothingBehind() throws {
    let scratch = Scratch()
    #expect(throws: Failure.self) {
      try AtomicWriter.write(to: scratch("a")) { writer in
        try writer.write("x")
        #expect(scratch.names.count == 1)
        throw Failure()
      }
    }
    _ = try AtomicWriter(path: scratch("b"))
    #expect(code { try AtomicWriter.write(to: scratch("c"), byteCount: 5) { try $0.write("four") } } == .outputFailed)
    #expect(scratch.names.isEmpty)
  }

  /// What a killed process left goes with the next output of that name; what another one is writing stays.
  @Test func removesWhatWasAbandoned() throws {
    let scratch = Scratch()
    let (live, other) = (try AtomicWriter(path: scratch("a")), try AtomicWriter(path: scratch("b")))
    try live.write("live")
    let temporaries = scratch.names
    #expect(temporaries.count == 2)
    let name = try #require(temporaries.first { $0.hasPrefix(".bessemer-") })
    let start = String(name[...(name.lastIndex(of: "-") ?? name.startIndex)])
    try scratch.put(start + "x.tmp", "abandoned")
    mkdir(scratch(start + "y.tmp"), 0o755)
    try scratch.put(start + "y.tmp/part", "abandoned")
    try scratch.put(start + "z.other", "kept")
    for path in ["a", "b"] { _ = try AtomicWriter(path: scratch(path)) }
    #expect(scratch.names == (temporaries + [start + "z.other"]).sorted())
    try live.commit()
    #expect(try scratch.text("a") == "live")
    other.cancel()
  }

  @Test func anUnfinishedFolderHasOneWriter() throws {
    let scratch = Scratch()
    let first = try AtomicFolder(path: scratch("a"), key: "k")
    #expect(code { _ = try AtomicFolder(path: scratch("a"), key: "k") } == .outputFailed)
    first.cancel()
    _ = try AtomicFolder(path: scratch("a"), key: "k")
  }

  @Test func respectsWhatIsThere() throws {
    let scratch = Scratch()
    try scratch.put("old", "old")
    #expect(code { try scratch.put("old", "new") } == .outputExists)
    #expect(try scratch.text("old") == "old")
    try AtomicWriter.write(to: scratch("old"), overwrite: true) { try $0.write("new") }
    #expect(try scratch.text("old") == "new")
    mkdir(scratch("folder"), 0o755)
    mkfifo(scratch("pipe"), 0o644)
    for name in ["folder", "pipe", "no/such", ".", "x/..", ""] {
      #expect(code { _ = try AtomicWriter(path: scratch(name), overwrite: true) } == .outputFailed)
    }
    #expect(code { _ = try AtomicWriter(path: "/dev/null", overwrite: true) } == .outputFailed)
    #expect(code { _ = try AtomicWriter(path: scratch(String(repeating: "n", count: 300))) } == .outputFailed)
    try scratch.put(String(repeating: "n", count: 255), "long")
    #expect(scratch.names == ["folder", String(repeating: "n", count: 255), "old", "pipe"])
  }

  @Test func neverReplacesAnInput() throws {
    let scratch = Scratch()
    try scratch.put("in", "input")
    symlink("in", scratch("symbolic"))
    link(scratch("in"), scratch("hard"))
    let identity = try InputFile(path: scratch("in")).identity
    try withExtendedLifetime(MappedFile(path: scratch("in"))) {
      for name in ["in", "symbolic", "hard"] {
        #expect(code { _ = try AtomicWriter(path: scratch(name), overwrite: true) } == .outputIsInput)
        #expect(code { _ = try AtomicWriter(path: scratch(name)) } == .outputIsInput)
      }
    }
    #expect(code { _ = try AtomicWriter(path: scratch("hard"), overwrite: true, inputs: [identity]) } == .outputIsInput)
    #expect(try scratch.text("in") == "input")
  }

  @Test func replacesLinksThemselves() throws {
    let scratch = Scratch()
    try scratch.put("target", "kept")
    symlink("target", scratch("link"))
    symlink("nowhere", scratch("dangling"))
    symlink("loop", scratch("loop"))
    for name in ["link", "dangling", "loop"] {
      #expect(code { try scratch.put(name, "new") } == .outputExists)
      try AtomicWriter.write(to: scratch(name), overwrite: true) { try $0.write("new") }
      #expect(try scratch.text(name) == "new")
    }
    #expect(try scratch.text("target") == "kept")
  }

  @Test func copiesMappedWindows() throws {
    let scratch = Scratch()
    let content = (0..<900_001).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    try AtomicWriter.write(to: scratch("in")) { try $0.write(content) }
    let file = try MappedFile(path: scratch("in"))
    try AtomicWriter.write(to: scratch("out")) { writer in
      try writer.write("x")
      try writer.write(file[3..<900_000])
      try writer.write(file[1..<5])
    }
    let expected = [UInt8(ascii: "x")] + content[3..<900_000] + content[1..<5]
    #expect(try InputFile.contents(of: scratch("out")).array == expected)
  }

  @Test func folders() throws {
    let scratch = Scratch()
    func put(_ text: String, overwrite: Bool = false, ours: Bool = true) throws {
      try AtomicFolder.write(to: scratch("f"), overwrite: overwrite, mayReplace: { _ in ours }) { folder in
        try folder.write("a") { try $0.write(text) }
        #expect(scratch.names.count == (scratch.names.contains("f") ? 2 : 1))
      }
    }
    try put("1")
    #expect(try scratch.text("f/a") == "1")
    #expect(code { try put("2") } == .outputExists)
    #expect(code { try put("2", overwrite: true, ours: false) } == .outputExists)
    try put("2", overwrite: true)
    #expect(try scratch.text("f/a") == "2")
    #expect(scratch.names == ["f"])
    mkdir(scratch("empty"), 0o755)
    try AtomicFolder.write(to: scratch("empty/")) { try $0.write("a") { try $0.write("x") } }
    #expect(try scratch.text("empty/a") == "x")
    try scratch.put("file", "x")
    #expect(code { _ = try AtomicFolder(path: scratch("file"), overwrite: true) } == .outputFailed)
    #expect(code { try AtomicFolder(path: scratch("g")).write("../a") { _ in } } == .pathEscape)
    try withExtendedLifetime(MappedFile(path: scratch("f/a"))) {
      #expect(code { try put("3", overwrite: true) } == .outputIsInput)
    }
    let identity = try InputFolder(path: scratch("f")).identity
    #expect(
      code { _ = try AtomicFolder(path: scratch("f"), overwrite: true, inputs: [identity]) } == .outputIsInput)
    #expect(code { try AtomicFolder.write(to: scratch("g")) { _ in throw BessemerError(.usage, "") } } == .usage)
    #expect(scratch.names == ["empty", "f", "file"])
  }

  @Test func foldersInFolders() throws {
    let scratch = Scratch()
    try AtomicFolder.write(to: scratch("f")) { folder in
      try folder.write("x/y/a") { try $0.write("1") }
      try folder.write("x/y/b") { try $0.write("2") }
    }
    #expect(try scratch.text("f/x/y/b") == "2")
    try AtomicFolder.write(to: scratch("f"), overwrite: true, mayReplace: { _ in true }) { _ in }
    #expect(try InputFolder(path: scratch("f")).names().isEmpty && scratch.names == ["f"])
  }
}

@Suite struct InputTests {
  @Test func refusesWhatIsNoFile() throws {
    let scratch = Scratch()
    mkdir(scratch("folder"), 0o755)
    mkfifo(scratch("pipe"), 0o644)
    symlink("nowhere", scratch("dangling"))
    symlink("loop", scratch("loop"))
    for name in ["folder", "pipe", "loop"] {
      #expect(code { _ = try MappedFile(path: scratch(name)) } == .notRegularFile)
    }
    #expect(code { _ = try MappedFile(path: "/dev/zero") } == .notRegularFile)
    #expect(code { _ = try MappedFile(path: scratch("missing")) } == .fileMissing)
    #expect(code { _ = try MappedFile(path: scratch("dangling")) } == .fileMissing)
    #expect(code { _ = try InputFile.contents(of: scratch("missing\0")) } == .fileMissing)
  }

  @Test func names() throws {
    let scratch = Scratch()
    try scratch.put("a", "text")
    symlink("a", scratch("link"))
    symlink("/etc/passwd", scratch("out"))
    let folder = try InputFolder(path: scratch.path)
    #expect(try folder.open("a", links: .refused).readAll(limit: 10).array == Array("text".utf8))
    #expect(try folder.open("link", links: .followed).byteCount == 4)
    #expect(code { _ = try folder.open("link", links: .refused) } == .notRegularFile)
    #expect(code { _ = try folder.open("out", links: .refused) } == .notRegularFile)
    #expect(code { _ = try folder.open("missing", links: .refused) } == .fileMissing)
    for name in [
      "", ".", "..", "../a", "a/../a", "/etc/passwd", "a//b", "a/", "a\\b", "file:a", "a\0b", "./a", "/\u{301}a",
    ] {
      #expect(code { _ = try folder.open(name, links: .followed) } == .pathEscape, "\(name)")
    }
    link(scratch("a"), scratch("hard"))
    #expect(code { _ = try folder.open("hard", links: .refused) } == .pathEscape)
    #expect(try folder.names() == ["a", "hard", "link", "out"])
    #expect(code { _ = try InputFile.contents(of: scratch("a"), limit: 3) } == .limit)
  }

  @Test func noticesChanges() throws {
    let scratch = Scratch()
    try scratch.put("a", "text")
    let file = try InputFile(path: scratch("a"))
    let mapped = try file.map()
    #expect(mapped.bytes.array == Array("text".utf8) && mapped[1..<3].array == Array("ex".utf8))
    try mapped.checkUnchanged()
    #expect(code { _ = try file.read(at: 2, count: 3) } == .truncated)
    truncate(scratch("a"), 2)
    #expect(code { try mapped.checkUnchanged() } == .inputChanged)
    #expect(code { _ = try file.read(at: 0, count: 4) } == .inputChanged)
  }

  @Test func reader() throws {
    var reader = ByteReader(Bytes([1, 2, 0, 0xFF, 0x80, 0x01, 3, 0x61, 0xC3, 0xA9, 9]), origin: 100)
    #expect(try reader.integer(UInt8.self, "a") == 1)
    #expect(try reader.integer(Int16.self, "b") == 2)
    #expect(try reader.integer(Int8.self, "c") == -1)
    #expect(try reader.varint("d") == 128)
    let count = try reader.varintLength("e")
    #expect(try reader.text(count, "f") == "aé")
    #expect(reader.byteOffset == 110 && reader.remaining == 1 && !reader.isAtEnd)
    #expect(code { _ = try reader.length("g") } == .truncated)
    #expect(code { _ = try reader.varintLength("h") } == .truncated)
    var long = ByteReader(Bytes([UInt8](repeating: 0xFF, count: 9) + [2]))
    #expect(code { _ = try long.varint("i") } == .header)
    var most = ByteReader(Bytes([UInt8](repeating: 0xFF, count: 9) + [1]))
    #expect(try most.varint("j") == .max)
    #expect(CheckedSize.product(1 << 62, 4) == nil && CheckedSize.sum(.max, 1) == nil)
    #expect(CheckedSize.aligned(65, to: 64) == 128 && CheckedSize.aligned(.max - 3, to: 64) == nil)
  }
}
