import Checkpoints
import Foundation
import Runtime
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Plans of GGUF files of the small trained model.
@Suite struct BlockPlanTests {
  private static let model = QuantizationPlanTests.model
  private static let encodings = ["q4_0", "q5_0", "q8_0"]
  private let scratch = Scratch()

  private func options(_ change: (inout QuantizationOptions) throws -> Void = { _ in }) rethrows -> QuantizationOptions
  {
    var options = QuantizationOptions(scheme: nil)
    options.threads = 2
    try change(&options)
    return options
  }

  private func plan(
    _ target: QuantizationPlanner.Target?, _ candidates: [String] = encodings, _ options: QuantizationOptions? = nil
  ) throws -> QuantizationPlan {
    try QuantizationPlanner(gguf: Self.model, options ?? self.options(), target: target, candidates: candidates).plan
  }

  /// Reads a plan's text, and carries it out.
  @discardableResult
  private func apply(_ text: String, _ name: String, threads: Int = 2) throws -> TensorStore {
    try text.write(toFile: scratch("plan.yaml"), atomically: true, encoding: .utf8)
    let plan = try QuantizationPlan(path: scratch("plan.yaml"))
    #expect(BlockQuantization.makes(plan))
    var options = plan.options
    options.threads = threads
    _ = try BlockQuantization.conversion(Self.model, to: scratch(name), plan, options).write { _, _ in }
    return try GGUF().read(scratch(name))
  }

  private func code(_ body: () throws -> Void) -> ErrorCode? {
    do { try body() } catch { return (error as? BessemerError)?.code }
    return nil
  }

  @Test(arguments: [5, 5.5, 7, 20]) func keepsBitsPerWeight(_ bits: Double) throws {
    let plan = try plan(.bitsPerWeight(bits), Self.encodings + ["float"])
    #expect(try #require(plan.bitsPerWeight) <= bits && plan.units.count == 26)
    if bits == 20 { #expect(plan.units.allSatisfy { $0.scheme == "float" }) }
    let store = try apply(plan.text, "m.gguf")
    #expect(store.entries.reduce(0) { $0 + $1.storedByteCount } == plan.byteCount)
    for unit in plan.units {
      let entry = try #require(store[TensorName(unit.layers[0])])
      #expect(try entry.blocks()?.type.rawValue ?? "float" == unit.scheme, "\(unit.layers)")
    }
  }

  @Test func keepsSizes() throws {
    for limit in [1_400_000, 1_700_000] {
      let plan = try plan(.size(limit))
      try apply(plan.text, "m\(limit).gguf")
      let size = try Data(contentsOf: URL(fileURLWithPath: scratch("m\(limit).gguf"))).count
      // The least that another choice could add is a matrix of 64 rows with 5 bits for 4.
      #expect(size <= limit && size > limit - 64 * 192)
    }
    #expect(code { _ = try plan(.size(1_000_000)) } == .usage)
  }

  @Test func isWhatOneEncodingGives() throws {
    for word in ["q8_0", "q4_0"] {
      try apply(plan(nil, [word]).text, "planned-\(word)", threads: 1)
      let type = try #require(BlockQuantization.type(word))
      _ = try BlockQuantization.conversion(Self.model, to: scratch(word), type, options()).write { _, _ in }
      #expect(FileManager.default.contentsEqual(atPath: scratch("planned-\(word)"), andPath: scratch(word)))
    }
  }

  @Test func doesNotDependOnThreads() throws {
    let text = try plan(.bitsPerWeight(6)).text
    #expect(try plan(.bitsPerWeight(6), Self.encodings, options { $0.threads = 1 }).text == text)
    for threads in [1, 2] { try apply(text, "t\(threads)", threads: threads) }
    #expect(FileManager.default.contentsEqual(atPath: scratch("t1"), andPath: scratch("t2")))
  }

  @Test func takesWhatIsSaid() throws {
    let own = try options {
      $0.overrides = [(try NamePattern("blk.*.attn_v.weight"), "q8_0")]
      $0.keep = [try NamePattern("token_embd.weight")]
    }
    let plan = try plan(nil, ["q4_0"], own)
    let schemes = Dictionary(uniqueKeysWithValues: plan.units.map { ($0.layers[0], $0.scheme) })
    #expect(schemes["blk.2.attn_v.weight"] == "q8_0" && schemes["token_embd.weight"] == "float")
    #expect(schemes["blk.2.attn_q.weight"] == "q4_0")
    // What is lost of more bits is less.
    let errors = Dictionary(uniqueKeysWithValues: plan.units.map { ($0.layers[0], $0.error ?? 1) })
    #expect((errors["blk.2.attn_v.weight"] ?? 1) < 1e-4 && (errors["blk.2.attn_q.weight"] ?? 0) > 1e-3)
  }

  @Test func refusesWhatIsNone() throws {
    #expect(code { _ = try plan(nil) } == .usage)
    #expect(code { _ = try plan(nil, ["q4_0", "w8a8-dynamic"]) } == .usage)
    #expect(code { _ = try plan(nil, ["q4_k"]) } == .unsupportedFeature)
    #expect(code { _ = try plan(nil, ["q8_0"], options { $0.method = "ssz" }) } == .usage)
    #expect(code { _ = try plan(nil, ["q8_0"], options { $0.format = "mindie" }) } == .usage)
    #expect(code { _ = try plan(nil, ["q8_0"], options { $0.keep = [try NamePattern("none")] }) } == .usage)
    let text = try plan(nil, ["q8_0"]).text
    for (old, new, expected) in [
      ("scheme: q8_0", "scheme: w8a16", ErrorCode.plan), ("blk.0.attn_q.weight", "blk.0.attn_k.weight", .plan),
      ("blk.0.attn_q.weight", "output_norm.weight", .plan), ("source: 8", "source: 9", .plan),
      ("format: gguf", "method: minmax", .usage),
    ] {
      let damaged = text.replacingOccurrences(of: old, with: new)
      #expect(damaged != text)
      #expect(
        code {
          try damaged.write(toFile: scratch("plan.yaml"), atomically: true, encoding: .utf8)
          let plan = try QuantizationPlan(path: scratch("plan.yaml"))
          guard BlockQuantization.makes(plan) else {
            _ = try Quantizer(Self.model, to: scratch("x"), options: plan.options, plan: plan)
            return
          }
          _ = try BlockQuantization.conversion(Self.model, to: scratch("x"), plan, plan.options)
        } == expected, "\(new)")
    }
  }
}
