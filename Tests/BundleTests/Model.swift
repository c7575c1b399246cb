import Bundle
import IR
import Tensors
import TestSupport

/// A small model with every kind of parameter, and what is stored of it.
enum Model {
  /// `floats` times as many rows make tensors of several pieces.
  static func contents(rows: Int = 1) throws -> BundleContents {
    var random = SplitMix64(seed: 11)
    var store = TensorStore()
    func weight(_ name: String, _ dtype: DType, _ shape: [Int]) throws {
      try store.append(TensorName(name), random.tensor(dtype, shape))
    }
    let wide = 40 * rows
    try weight("model.embed.weight", .float32, [wide, 24])
    for name in ["q", "k", "v"] {
      try weight("model.layers.0.attn.\(name)_proj.weight", .bfloat16, [24, 24])
      try weight("model.layers.0.attn.\(name)_proj.bias", .float32, [24])
    }
    try weight("model.layers.0.mlp.up.weight", .float32, [wide, 24])
    try weight("model.layers.0.mlp.conv.weight", .float16, [wide, 25])
    try weight("model.scale", .float32, [1])
    try weight("unused", .float32, [3])

    var graph = Graph(name: "model")
    func named(_ name: String) throws -> ValueID {
      let entry = store[TensorName(name)]!
      return try graph.add(Weight(entry.name, entry.dtype, shape: entry.shape), name: name)[0]
    }
    let ids = graph.addInput("ids", TensorType(.int64, ["sequence"]))
    let state = graph.addState("past", TensorType(.float32, ["past", 72]), axis: 0, capacity: 64)
    let table = try graph.add(Cast(to: .bfloat16), [named("model.embed.weight")])[0]
    let x = try graph.add(Cast(to: .float32), graph.add(Gather(axis: 0), [table, ids]))[0]
    let parts = ["q", "k", "v"].map { "model.layers.0.attn.\($0)_proj" }
    let matrix = try graph.add(Concat(axis: 0), parts.map { try named($0 + ".weight") })[0]
    let bias = try graph.add(Concat(axis: 0), parts.map { try named($0 + ".bias") })[0]
    let qkv = try graph.add(Linear(), [x, matrix, bias], name: "attn")[0]
    graph.setUpdate(try graph.add(Concat(axis: 0), [state, qkv])[0], of: state)
    let up = try graph.add(Cast(to: .bfloat16), [named("model.layers.0.mlp.up.weight")])[0]
    let hidden = try graph.add(Linear(activation: .silu), [x, up])[0]
    let conv = try graph.add(Transpose(permutation: [1, 0]), [named("model.layers.0.mlp.conv.weight")])[0]
    let small = try graph.add(Linear(), [hidden, conv])[0]
    let scale = try graph.add(Expand(shape: [25]), [named("model.scale")])[0]
    let one = try graph.add(Constant(Tensor([Float(1)], shape: [1])))[0]
    graph.addOutput("scaled", try graph.add(Multiply(), [small, graph.add(Add(), [scale, one])[0]])[0])
    // Tied: the table's cast once more.
    let again = try graph.add(Cast(to: .bfloat16), [named("model.embed.weight")])[0]
    graph.addOutput("logits", try graph.add(Linear(), [x, again])[0])
    graph.sortTopologically()
    return BundleContents(
      parts: [.init(graph: graph, weights: store)], modelType: "model", target: "Ascend910B3",
      files: [("config.json", Bytes(Array("{}\n".utf8))), ("tokenizer.json", Bytes(Array("[1]".utf8)))],
      provenance: BundleManifest.Provenance(
        sources: [], options: ["activation": "f32", "é": "\"\n"], fusions: ["linear": 3],
        declined: [.init(result: "merged", reason: "used elsewhere", count: 2)]),
      toolVersion: "1.2.3")
  }

  static let inputs: [String: Tensor] = ["ids": Tensor([Int64(3), 1, 39], shape: [3])]

  /// What a graph computes by its plain meaning.
  static func run(_ graph: Graph, _ weights: TensorStore) throws -> [String: Tensor] {
    let result = try Interpreter(graph, weight: { try weights.tensor($0) }).run(inputs)
    return result.outputs.merging(result.states) { a, _ in a }
  }
}
