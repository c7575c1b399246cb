import Foundation
import IR
import Passes
import TestSupport
import Tensors
import Testing

/// One file of `fixtures/passes`: a graph before and after passes.
///
/// ```
/// # What the case shows.
/// passes = fuse-rms-norm, fuse-silu
/// target = Ascend910B3             a target, for passes that take one
/// sizes = batch=2, sequence=3      what symbols stand for when the graphs are run
/// tolerance = 1e-5                 of the largest value; `exact`; `last` for the last position alone; `none`: not run
/// report = made rms_norm 1         every line of the report, in order
/// report = declined gelu: because
/// ---
/// the graph before
/// ---
/// the graph after, or `unchanged`
/// ```
struct PassFixture: CustomTestStringConvertible, Sendable {
  let path: String
  let fields: [String: [String]]
  let head: String
  let before: String
  let after: String

  var testDescription: String { path }

  static let all: [PassFixture] = {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.folder + "/passes")) ?? []
    return folders.sorted().flatMap { folder in
      Fixtures.names("passes/" + folder, suffix: ".txt").map { PassFixture("passes/\(folder)/\($0)") }
    }
  }()

  private init(_ path: String) {
    self.path = path
    let parts = ((try? Fixtures.text(path)) ?? "").components(separatedBy: "---\n")
    precondition(parts.count == 3, "\(path) has not three parts")
    (head, before) = (parts[0], parts[1])
    after = parts[2] == "unchanged\n" ? before : parts[2]
    var fields: [String: [String]] = [:]
    for line in head.split(separator: "\n") where !line.hasPrefix("#") {
      let pair = line.components(separatedBy: " = ")
      precondition(pair.count == 2, "\(path): \(line)")
      fields[pair[0], default: []].append(pair[1])
    }
    let known: Set = ["passes", "target", "sizes", "tolerance", "report"]
    precondition(known.isSuperset(of: fields.keys), "\(path) has unknown fields")
    self.fields = fields
  }

  func passes() throws -> [any GraphPass] {
    let target = try fields["target"].map { try #require(Target(named: $0[0])) }
    let all = defaultPasses(target: target) + defaultPasses() + [KeepLastPosition()]
    return try #require(fields["passes"])[0].components(separatedBy: ", ").map { name in
      try #require(all.first { $0.name == name }, "no pass \(name)")
    }
  }

  /// What the report must say.
  static func lines(_ report: PassReport) -> [String] {
    report.made.map { "made \($0.result) \($0.count)" }
      + report.declined.map { "declined \($0.result): \($0.reason)" }
  }

  var sizes: [String: Int] {
    let pairs = fields["sizes"].map { $0[0].components(separatedBy: ", ") } ?? []
    return Dictionary(
      uniqueKeysWithValues: pairs.map {
        let pair = $0.components(separatedBy: "=")
        return (pair[0], Int(pair[1])!)
      })
  }

  // MARK: Running

  /// The outputs of a graph on random inputs, states and weights, the same for every graph of one interface.
  func run(_ graph: Graph, seed: UInt64) throws -> [String: Tensor] {
    func tensor(_ name: String, _ type: TensorType) throws -> Tensor {
      let shape = try #require(type.bound(sizes).shape, "\(name): \(type)")
      var generator = SplitMix64(seed: name.utf8.reduce(seed) { $0 &* 31 &+ UInt64($1) })
      if type.dtype.isFloat { return try .random(type.dtype, shape: shape, using: &generator) }
      let values = (0..<shape.reduce(1, *)).map { _ in Int64(generator.next() % 2) }
      return type.dtype == .bool
        ? try Tensor(.bool, shape: shape, bytes: Bytes(values.map { UInt8($0) }))
        : try Tensor(type.dtype, shape: shape, integers: values)
    }
    let inputs = try graph.inputs.map { ($0.name, try tensor($0.name, graph.type(of: $0.value))) }
    let states = try graph.states.map { ($0.name, try tensor($0.name, graph.type(of: $0.value))) }
    var weights: [TensorName: TensorType] = [:]
    for id in graph.nodeIDs {
      if let op = graph[id].op as? Weight { weights[op.name] = graph.type(of: graph[id].results[0]) }
    }
    let interpreter = Interpreter(graph) { try tensor($0.string, #require(weights[$0])) }
    let result = try interpreter.run(
      Dictionary(uniqueKeysWithValues: inputs), states: Dictionary(uniqueKeysWithValues: states))
    return result.outputs.merging(result.states.map { ("state " + $0.key, $0.value) }) { a, _ in a }
  }

  /// Whether outputs agree as the fixture demands.
  func agree(_ a: Tensor, _ b: Tensor) throws -> Bool {
    let rule = fields["tolerance"]?[0] ?? "1e-5"
    guard rule != "exact" else { return a.hasSameBits(as: b) }
    guard rule != "last" else {
      let width = try #require(a.shape.last)
      let rows = a.doubles.count / width / a.shape[1]
      let values = a.doubles
      let last = (0..<rows).flatMap { row -> ArraySlice<Double> in
        let end = (row + 1) * a.shape[1] * width
        return values[end - width..<end]
      }
      return b.shape == [a.shape[0], 1, width] && last == b.doubles
    }
    let tolerance = try #require(Double(rule))
    guard a.type == b.type else { return false }
    let scale = a.doubles.reduce(0) { max($0, abs($1)) }
    return zip(a.doubles, b.doubles).allSatisfy { abs($0 - $1) <= tolerance * scale }
  }
}
