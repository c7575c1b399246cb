import Runtime
import Safetensors
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Packages that need calibration data are those of msModelSlim: descriptions the same, float sums to 1e-6 of the
/// largest value, at most one code of a thousand another, and that by one step.
@Suite struct CalibrationTests {
  static let folder = Fixtures.folder + "/quantization/calibrated"
  static let names = Fixtures.names("quantization/calibrated", suffix: "").filter { name in
    ![
      "qwen2", "qwen3", "llama-half", "qwen3-half", "deepseek_v3", "calibration.jsonl", "make.py", "make_latent.py",
    ].contains(name)
  }

  private func package(_ name: String, _ scratch: Scratch, threads: Int = 1) throws -> String {
    let source = try TextFile.text("\(Self.folder)/\(name)/source").split(separator: "\n")[0]
    var options = QuantizationOptions(scheme: nil)
    options.recipe = "\(Self.folder)/\(name)/recipe.yaml"
    options.calibration = Self.folder + "/calibration.jsonl"
    options.isCompatible = true
    options.threads = threads
    let output = scratch("package-\(threads)")
    try Quantizer("\(Self.folder)/\(source)", to: output, options: options).write { _, _ in }
    return output
  }

  @Test func hasRecipes() { #expect(Self.names.count == 32) }

  @Test(arguments: names) func agreesWithMsModelSlim(_ name: String) throws {
    let scratch = Scratch()
    let output = try package(name, scratch)
    let expected = try SafetensorsFile(path: "\(Self.folder)/\(name)/expected.safetensors").store()
    var actual = try SafetensorsCheckpoint.read(output + "/quant_model_weights.safetensors.index.json")
    if name.hasPrefix("rotated") {
      for entry in try SafetensorsFile(path: output + "/optional/quarot.safetensors").store().entries {
        try actual.append(entry)
      }
    }
    var (codes, others) = (0, 0)
    for entry in expected.entries {
      let found = try #require(actual[entry.name], "\(entry.name)")
      #expect(found.type == entry.type, "\(entry.name)")
      guard found.type == entry.type else { continue }
      let (a, b) = (try found.tensor(), try entry.tensor())
      if entry.dtype == .int8 {
        let (x, y) = (a.integers, b.integers)
        codes += x.count
        others += zip(x, y).filter { $0 != $1 }.count
      } else {
        #expect(difference(a, b) <= 1e-6, "\(entry.name)")
      }
    }
    #expect(Double(others) <= 0.001 * Double(codes), "\(others) of \(codes) codes")
    let own = try JSON.parse(Bytes(TextFile.text(output + "/quant_model_description.json").utf8))
    let theirs = try Fixtures.json("quantization/calibrated/\(name)/description.json")
    #expect(Set(own.members.map { String($0.key) }) == Set(theirs.members.map { String($0.key) }))
    for (key, value) in theirs.members {
      #expect(own[String(key)]?.string == value.string && own[String(key)]?.int == value.int, "\(key)")
    }
  }

  /// The largest difference as a part of the largest value; scales that are stored as bits are compared as numbers.
  private func difference(_ a: Tensor, _ b: Tensor) -> Double {
    func numbers(_ tensor: Tensor) -> [Double] {
      guard tensor.dtype == .int64 else { return tensor.doubles }
      return tensor.integers.map { Double(Float(bitPattern: UInt32(truncatingIfNeeded: $0))) }
    }
    let (x, y) = (numbers(a), numbers(b))
    let largest = y.map { abs($0) }.max() ?? 0
    return zip(x, y).map { abs($0 - $1) }.max()! / max(largest, 1e-30)
  }

  @Test(arguments: ["static", "flexible", "gptq", "rotated"]) func anyNumberOfThreadsGivesTheSame(_ name: String) throws
  {
    let scratch = Scratch()
    let (one, two) = (try package(name, scratch), try package(name, scratch, threads: 2))
    let file = "quant_model_weights-00001-of-00001.safetensors"
    let (a, b) = (try MappedFile(path: one + "/" + file), try MappedFile(path: two + "/" + file))
    #expect(a.bytes == b.bytes)
  }

  /// Packages of recipes of `modelslim_v0`, whose scales have the model's type, compute nearly what the model does.
  @Test(arguments: ["v0-cache", "v0-flexible", "v0-widest"]) func packagesOfTheOlderFormRun(_ name: String) throws {
    let scratch = Scratch()
    let output = try package(name, scratch)
    let source = try TextFile.text("\(Self.folder)/\(name)/source").split(separator: "\n")[0]
    let ids = Tensor((0..<20).map { Int64(40 + $0 * 3) }, shape: [1, 20])
    func logits(_ path: String) throws -> [Double] {
      let model = try RunnableModel(path: path, options: .init(threads: 1))
      return try #require(try model.session.run(["input_ids": ids])["logits"]).doubles
    }
    let (before, after) = (try logits("\(Self.folder)/\(source)"), try logits(output))
    func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    // Means of ranges cut the widest values off.
    let cosine = product(before, after) / (product(before, before) * product(after, after)).squareRoot()
    #expect(cosine > 0.99)
    #expect(before != after)
  }

  @Test func dataIsAskedFor() throws {
    let scratch = Scratch()
    let error = #expect(throws: BessemerError.self) {
      try Quantizer(Self.folder + "/qwen3", to: scratch("x"), options: QuantizationOptions(scheme: "w8a8"))
    }
    #expect(error?.code == .usage)
  }

  /// Rotation and smoothing leave what the float model computes.
  @Test(arguments: ["rotate", "iterative", "flexible", "awq", "smoothquant", "keys"])
  func leavesTheModel(_ what: String) throws {
    let scratch = Scratch()
    var options = QuantizationOptions(scheme: "float")
    options.calibration = Self.folder + "/calibration.jsonl"
    switch what {
    case "rotate": options.rotates = "all"
    case "keys": options.smoothsKeys = true
    default: options.smoothing = what
    }
    try Quantizer(Self.folder + "/qwen3", to: scratch("float"), options: options).write { _, _ in }
    let ids = Tensor((0..<20).map { Int64(40 + $0 * 3) }, shape: [1, 20])
    func logits(_ path: String) throws -> [Double] {
      let model = try RunnableModel(path: path, options: .init(threads: 1))
      return try #require(try model.session.run(["input_ids": ids])["logits"]).doubles
    }
    let (before, after) = (try logits(Self.folder + "/qwen3"), try logits(scratch("float")))
    let largest = before.map { abs($0) }.max()!
    #expect(zip(before, after).map { abs($0 - $1) }.max()! < 1e-5 * largest)
    let weights = try SafetensorsCheckpoint.read(scratch("float") + "/quant_model_weights.safetensors.index.json")
    let source = try SafetensorsCheckpoint.read(Self.folder + "/qwen3/model.safetensors")
    #expect(
      try source.entries.contains { try weights[$0.name]?.tensor() != $0.tensor() }, "nothing was changed at all")
  }
}
