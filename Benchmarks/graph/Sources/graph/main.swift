import Glibc
import IR
import Passes
import Tensors

/// A decoder of as many layers as 100,000 nodes take, in elementary operators as an exporter writes them.
struct Decoder {
  var graph = Graph(name: "benchmark")
  private let width = 64
  private var scalars: [Double: ValueID] = [:]

  private mutating func add(_ op: any Op, _ operands: ValueID..., name: String = "") throws -> ValueID {
    try graph.add(op, operands, name: name)[0]
  }

  private mutating func scalar(_ value: Double) throws -> ValueID {
    if let known = scalars[value] { return known }
    let constant = try add(Constant(Tensor(.float32, shape: [], doubles: [value])))
    scalars[value] = constant
    return constant
  }

  private mutating func weight(_ name: String, _ shape: [Int]) throws -> ValueID {
    try add(Weight(TensorName(name), .bfloat16, shape: shape), name: name)
  }

  private mutating func linear(_ x: ValueID, _ name: String, _ outputs: Int, _ inputs: Int) throws -> ValueID {
    let wide = try add(Cast(to: .float32), weight(name + ".weight", [outputs, inputs]), name: name)
    return try add(MatMul(), x, add(Transpose(permutation: [1, 0]), wide, name: name), name: name)
  }

  private mutating func norm(_ x: ValueID, _ name: String) throws -> ValueID {
    let mean = try add(ReduceMean(axes: [-1]), add(Multiply(), x, x, name: name), name: name)
    let scale = try add(Rsqrt(), add(Add(), mean, scalar(1e-5), name: name), name: name)
    let gamma = try add(Cast(to: .float32), weight(name + ".weight", [width]), name: name)
    return try add(Multiply(), gamma, add(Multiply(), x, scale, name: name), name: name)
  }

  private mutating func rotated(_ x: ValueID, _ cosines: ValueID, _ sines: ValueID, _ name: String) throws -> ValueID {
    let first = try add(Slice(axis: 3, start: 0, end: 8), x, name: name)
    let second = try add(Slice(axis: 3, start: 8), x, name: name)
    let partner = try add(Concat(axis: 3), add(Negate(), second, name: name), first, name: name)
    return try add(
      Add(), add(Multiply(), x, cosines, name: name), add(Multiply(), partner, sines, name: name), name: name)
  }

  /// Layers until there are `count` nodes.
  init(nodes count: Int) throws {
    var x = graph.addInput("x", TensorType(.float32, ["batch", "sequence", .known(width)]))
    let bias = graph.addInput("bias", TensorType(.float32, ["batch", 1, "sequence", "past+sequence"]))
    let cosines = graph.addInput("cos", TensorType(.float32, ["batch", 1, "sequence", 16]))
    let sines = graph.addInput("sin", TensorType(.float32, ["batch", 1, "sequence", 16]))
    var layer = 0
    while graph.nodeCount < count {
      let prefix = "model.layers.\(layer)"
      let y = try norm(x, prefix + ".input_layernorm")
      var heads: [ValueID] = []
      for part in ["q_proj", "k_proj", "v_proj"] {
        let name = "\(prefix).self_attn.\(part)"
        let split = try add(Reshape(shape: [0, 0, 4, 16]), linear(y, name, width, width), name: name)
        heads.append(try add(Transpose(permutation: [0, 2, 1, 3]), split, name: name))
      }
      let name = prefix + ".self_attn"
      var (keys, values) = (try rotated(heads[1], cosines, sines, name), heads[2])
      for (kind, present) in [("key", keys), ("value", values)] {
        let type = TensorType(.float32, ["batch", 4, "past", 16])
        let state = graph.addState("\(prefix).\(kind)", type, axis: 2, capacity: 4096)
        let all = try add(Concat(axis: 2), state, present, name: name)
        graph.setUpdate(all, of: state)
        if kind == "key" { keys = all } else { values = all }
      }
      let transposed = try add(Transpose(permutation: [0, 1, 3, 2]), keys, name: name)
      let product = try add(MatMul(), rotated(heads[0], cosines, sines, name), transposed, name: name)
      let scores = try add(Add(), add(Multiply(), product, scalar(0.25), name: name), bias, name: name)
      let mixed = try add(MatMul(), add(Softmax(axis: -1), scores, name: name), values, name: name)
      let joined = try add(
        Reshape(shape: [0, 0, width]), add(Transpose(permutation: [0, 2, 1, 3]), mixed, name: name), name: name)
      x = try add(Add(), x, linear(joined, name + ".o_proj", width, width), name: name)
      let inner = try norm(x, prefix + ".post_attention_layernorm")
      let gate = try linear(inner, prefix + ".mlp.gate_proj", 2 * width, width)
      let up = try linear(inner, prefix + ".mlp.up_proj", 2 * width, width)
      let active = try add(Multiply(), gate, add(Sigmoid(), gate, name: prefix), name: prefix)
      let gated = try add(Multiply(), active, up, name: prefix)
      x = try add(Add(), x, linear(gated, prefix + ".mlp.down_proj", width, 2 * width), name: prefix)
      layer += 1
    }
    graph.addOutput("y", x)
    graph.sortTopologically()
  }
}

/// Seconds of processor time so far, which other programs on the machine do not lengthen.
func processorTime() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The least processor time of several runs, and the last result.
func best<R>(of repeats: Int = 7, _ body: () throws -> R) rethrows -> (seconds: Double, result: R) {
  var least = Double.infinity
  var result: R
  var left = repeats
  repeat {
    let start = processorTime()
    result = try body()
    least = min(least, processorTime() - start)
    left -= 1
  } while left > 0
  return (least, result)
}

func line(_ name: String, _ seconds: Double) {
  let milliseconds = String(Int((seconds * 1000).rounded()))
  print(name + String(repeating: " ", count: max(1, 34 - name.count - milliseconds.count)) + milliseconds + " ms")
}

let build = try best { try Decoder(nodes: 100_000).graph }
let graph = build.result
let text = best { graph.text }
let parse = try best { try Graph(text: text.result) }
let verify = try best { try graph.verify() }
let pipeline = try best {
  var fused = graph
  let report = try PassRunner(defaultPasses()).run(on: &fused)
  return (fused: fused, report: report)
}
let fusedCount = pipeline.result.fused.nodeCount
print("\(graph.nodeCount) nodes, \(text.result.utf8.count) bytes of text; \(fusedCount) after the passes")
line("build", build.seconds)
line("print", text.seconds)
line("parse", parse.seconds)
line("verify", verify.seconds)
line("default pipeline", pipeline.seconds)
line("sum", build.seconds + text.seconds + parse.seconds + verify.seconds + pipeline.seconds)
print("elapsed time of the last pipeline, by pass")
for step in pipeline.result.report.steps { line("  " + step.pass, step.seconds) }
