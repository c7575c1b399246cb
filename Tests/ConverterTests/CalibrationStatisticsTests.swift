import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Statistics that one run saves take the place of data in another.
@Suite struct CalibrationStatisticsTests {
  private static let qwen3 = CalibrationTests.folder + "/qwen3"
  private static let data = CalibrationTests.folder + "/calibration.jsonl"

  private func options(_ scheme: String?, _ change: (inout QuantizationOptions) throws -> Void = { _ in }) rethrows
    -> QuantizationOptions
  {
    var options = QuantizationOptions(scheme: scheme)
    options.threads = 2
    try change(&options)
    return options
  }

  @discardableResult
  private func write(_ model: String, _ output: String, _ options: QuantizationOptions) throws -> [String] {
    try Quantizer(model, to: output, options: options).write { _, _ in }
  }

  /// Quantizes with data and then without, and holds the packages against each other and against one where nothing is
  /// saved.
  private func check(_ model: String, _ data: String, _ options: QuantizationOptions) throws {
    let scratch = Scratch()
    var first = options
    first.calibration = data
    try write(model, scratch("plain"), first)
    first.savesStatistics = scratch("s.safetensors")
    let notes = try write(model, scratch("saving"), first)
    var second = options
    second.statistics = scratch("s.safetensors")
    second.threads = 1
    #expect(try write(model, scratch("saved"), second) == notes)
    let expected = try Scratch.contents(scratch("plain"))
    #expect(try Scratch.contents(scratch("saving")) == expected)
    #expect(try Scratch.contents(scratch("saved")) == expected)
  }

  /// All recipes but those that try parts of the model out on the data, and those that look at none.
  @Test(arguments: CalibrationTests.names) func takeThePlaceOfDataForRecipes(_ name: String) throws {
    let source = try TextFile.text("\(CalibrationTests.folder)/\(name)/source").split(separator: "\n")[0]
    let options = options(nil) { options in
      options.recipe = "\(CalibrationTests.folder)/\(name)/recipe.yaml"
      options.isCompatible = true
    }
    let model = "\(CalibrationTests.folder)/\(source)"
    guard ["awq", "dual-scale", "rotated", "rotated-half", "v0-widest"].contains(name) else {
      return try check(model, Self.data, options)
    }
    #expect(code { try check(model, Self.data, options) } == .usage)
  }

  @Test(arguments: ["awq", "awq-scales", "flexible", "smoothquant"], ["minmax", "gptq"])
  func takeThePlaceOfDataForSmoothing(_ smoothing: String, _ method: String) throws {
    try check(
      Self.qwen3, Self.data,
      options("w4a16-g16") {
        $0.smoothing = smoothing
        $0.method = method
        $0.smoothsKeys = true
        $0.cache = "c8-asymmetric"
      })
  }

  @Test(arguments: ExpertCalibrationTests.families) func takeThePlaceOfTokensOfExperts(_ family: String) throws {
    let scratch = Scratch()
    let data = try ExpertCalibrationTests.calibration(scratch)
    let model = Fixtures.folder + "/models/\(family)-base"
    try check(
      model, data,
      options("float") { options in
        options.smoothing = "awq"
        options.method = "gptq"
        options.overrides = [(try NamePattern("*.experts.*"), "w8a8")]
      })
  }

  /// Writes a package "a" and the statistics "s" that AWQ took from the data.
  private func save(_ scratch: Scratch) throws {
    let saving = options("w4a16-g16") {
      $0.smoothing = "awq"
      $0.calibration = Self.data
      $0.savesStatistics = scratch("s")
    }
    try write(Self.qwen3, scratch("a"), saving)
  }

  /// What comes after the last look at data may differ: here the search, the scheme and the form of the package.
  @Test func serveOtherAlgorithms() throws {
    let scratch = Scratch()
    try save(scratch)
    for (scheme, smoothing, format) in [
      ("w8a8-dynamic", "iterative", "ascendv1"), ("w4a16-g16", "awq", "compressed-tensors"),
    ] {
      var other = options(scheme) { options in
        (options.smoothing, options.format, options.statistics) = (smoothing, format, scratch("s"))
      }
      try write(Self.qwen3, scratch(format), other)
      (other.statistics, other.calibration) = (nil, Self.data)
      try write(Self.qwen3, scratch(format + "-data"), other)
      #expect(try Scratch.contents(scratch(format)) == Scratch.contents(scratch(format + "-data")))
    }
  }

  private func refusal(_ path: String, _ change: (inout QuantizationOptions) -> Void = { _ in }) -> BessemerError? {
    #expect(throws: BessemerError.self) {
      let scratch = Scratch()
      try write(
        Self.qwen3, scratch("out"),
        options("w4a16-g16") { options in
          (options.smoothing, options.statistics) = ("awq", path)
          change(&options)
        })
    }
  }

  @Test func areRefusedForWhatTheyDoNotHoldFor() throws {
    let scratch = Scratch()
    try save(scratch)
    #expect(refusal(scratch("s")) { $0.method = "gptq" }?.code == .plan)
    #expect(refusal(scratch("s")) { $0.rotates = "heads" }?.code == .plan)
    #expect(refusal(scratch("s")) { $0.calibrationDigest = String(repeating: "0", count: 64) }?.code == .plan)
    // Statistics of all kinds but the tokens themselves.
    let lacking = refusal(scratch("s")) { $0.smoothing = "flexible" }
    #expect(lacking?.code == .plan && lacking?.message.contains("rows") == true)
    #expect(refusal(scratch("s")) { $0.calibration = Self.data }?.code == .usage)
    #expect(refusal(scratch("s")) { $0.smoothing = nil }?.code == .usage)
    // The same names and shapes, another value.
    let model = try SafetensorsFile(path: Self.qwen3 + "/model.safetensors").store()
    let entries = try model.entries.enumerated().map { index, entry in
      let tensor = try entry.tensor()
      guard index == 3 else { return SafetensorsWriter.Entry(entry.name, tensor) }
      let doubled = try Tensor(tensor.floats.map { $0 * 2 }, shape: tensor.shape).cast(to: tensor.dtype)
      return SafetensorsWriter.Entry(entry.name, doubled)
    }
    try AtomicFolder.write(to: scratch("model")) { folder in
      let config = try InputFile.contents(of: Self.qwen3 + "/config.json")
      try folder.write("config.json") { try $0.write(config) }
      try folder.write("model.safetensors") { try SafetensorsWriter(entries).write(to: $0) }
    }
    let other = options("w4a16-g16") { ($0.smoothing, $0.statistics) = ("awq", scratch("s")) }
    #expect(code { try write(scratch("model"), scratch("b"), other) } == .plan)
  }

  @Test func damagedFilesAreRefused() throws {
    let scratch = Scratch()
    try save(scratch)
    let saved = try SafetensorsFile(path: scratch("s")).store()
    func rewrite(_ change: (TensorName, Tensor) throws -> Tensor?) throws {
      let entries = try saved.entries.compactMap { entry in
        try change(entry.name, entry.tensor()).map { SafetensorsWriter.Entry(entry.name, $0) }
      }
      try SafetensorsWriter(entries, metadata: saved.metadata).write(to: scratch("t"), overwrite: true)
    }
    try rewrite { $1 }
    try write(Self.qwen3, scratch("b"), options("w4a16-g16") { ($0.smoothing, $0.statistics) = ("awq", scratch("t")) })
    #expect(try Scratch.contents(scratch("a")) == Scratch.contents(scratch("b")))
    for kind in ["sizes", "moments"] {
      func of(_ name: TensorName) -> Bool { name.string.contains(".\(kind).") }
      try rewrite { of($0) ? nil : $1 }
      #expect(refusal(scratch("t"))?.code == .plan)
      try rewrite { of($0) ? Tensor([Float](repeating: .nan, count: $1.elementCount), shape: $1.shape) : $1 }
      #expect(refusal(scratch("t"))?.code == .wrongFormat)
      try rewrite { of($0) ? Tensor($1.floats.dropLast(), shape: [$1.elementCount - 1]) : $1 }
      #expect(refusal(scratch("t"))?.code == .wrongFormat)
      try rewrite { of($0) ? try $1.cast(to: .float16) : $1 }
      #expect(refusal(scratch("t"))?.code == .wrongFormat)
    }
    try SafetensorsWriter([], metadata: [:]).write(to: scratch("t"), overwrite: true)
    #expect(refusal(scratch("t"))?.code == .wrongFormat)
    try scratch.put("u", "no tensors")
    #expect(refusal(scratch("u")) != nil)
  }
}
