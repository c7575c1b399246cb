import IR
import TestSupport
import Tensors
import Testing

@testable import Runtime

/// A graph of one operator, its operands reached through windows, with values.
struct KernelTrial {
  var graph = Graph(name: "trial")
  var inputs: [String: Tensor] = [:]
  var weights = TensorStore()
  private var random: Random

  /// Nil when the operator does not take these operands in this type.
  init?(_ item: KernelCase, _ activation: DType, strided: Bool, seed: UInt64) throws {
    random = Random(seed: seed)
    var values: [ValueID] = []
    for (k, operand) in item.operands.enumerated() {
      if case .weight(let shape, let dtype) = operand {
        try weights.append(TensorName("w\(k)"), .random(dtype, shape: shape, using: &random))
        values.append(try graph.add(Weight(TensorName("w\(k)"), dtype, shape: shape))[0])
        continue
      }
      if case .codes(let shape, let dtype) = operand {
        let tensor = try codes(shape, dtype)
        try weights.append(TensorName("w\(k)"), tensor)
        values.append(try graph.add(Weight(TensorName("w\(k)"), dtype, shape: shape))[0])
        continue
      }
      values.append(try windowed("x\(k)", operand, activation, strided: strided))
    }
    guard let results = try? graph.add(item.op, values) else { return nil }
    for (k, result) in results.enumerated() {
      // Of the target's norms the kernels give what the passes use.
      if k == 0
        || !(item.op is Ascend.RmsNorm || item.op is Ascend.LayerNormV4 || item.op is Ascend.AddRmsNorm && k == 1)
      {
        graph.addOutput("y\(k)", result)
      }
    }
    graph.sortTopologically()
  }

  private mutating func codes(_ shape: [Int], _ dtype: DType) throws -> Tensor {
    let count = shape.reduce(1, *)
    if dtype == .int32 {
      return try Tensor(dtype, shape: shape, integers: (0..<count).map { _ in Int64(random.next() % 10000) - 5000 })
    }
    let bytes = (0..<(dtype.byteCount(of: count) ?? 0)).map { _ -> UInt8 in
      let byte = UInt8(truncatingIfNeeded: random.next())
      switch dtype {
      case .float8e8m0: return 124 + byte % 8
      case .float8e4m3fn: return byte & 0x7F == 0x7F ? byte - 1 : byte
      default: return byte
      }
    }
    return try Tensor(dtype, shape: shape, bytes: Bytes(bytes))
  }

  /// An input that a transpose, a slice or an expansion leads to the operand's shape.
  private mutating func windowed(
    _ name: String, _ operand: KernelCase.Operand, _ activation: DType, strided: Bool
  ) throws -> ValueID {
    let shape = operand.shape
    let kind = strided && !shape.isEmpty ? Int.random(in: 0...3, using: &random) : 3
    let axis = shape.isEmpty ? 0 : Int.random(in: 0..<shape.count, using: &random)
    switch kind {
    case 0:
      let order = Array(shape.indices).shuffled(using: &random)
      let input = try add(name, operand, activation, shape: shape.indices.map { k in shape[order.firstIndex(of: k)!] })
      return try graph.add(Transpose(permutation: order), [input])[0]
    case 1:
      let step = Int.random(in: 1...2, using: &random)
      var larger = shape
      larger[axis] = shape[axis] * step + 2
      let input = try add(name, operand, activation, shape: larger)
      return try graph.add(Slice(axis: axis, start: 1, end: 1 + shape[axis] * step, step: step), [input])[0]
    case 2 where shape[axis] > 0:
      var smaller = shape
      smaller[axis] = 1
      let input = try add(name, operand, activation, shape: smaller)
      var target = [Int](repeating: 0, count: shape.count)
      target[axis] = shape[axis]
      return try graph.add(Expand(shape: target), [input])[0]
    default: return try add(name, operand, activation, shape: shape)
    }
  }

  private mutating func add(
    _ name: String, _ operand: KernelCase.Operand, _ activation: DType, shape: [Int]
  ) throws -> ValueID {
    let count = shape.reduce(1, *)
    let tensor: Tensor
    switch operand {
    case .float(_, let scale, let positive):
      let values = try Tensor.random(.float64, shape: shape, scale: scale, using: &random).doubles
      tensor = try Tensor(activation, shape: shape, doubles: positive ? values.map { abs($0) + 0.1 } : values)
    case .bool:
      tensor = try Tensor(
        .bool, shape: shape, bytes: Bytes((0..<count).map { _ in UInt8(random.next() % 3 == 0 ? 0 : 1) }))
    case .index(_, let below):
      tensor = Tensor((0..<count).map { _ in Int64(random.next() % UInt64(below)) }, shape: shape)
    case .weight, .codes: preconditionFailure("weights are no inputs")
    }
    inputs[name] = tensor
    return graph.addInput(name, tensor.type)
  }
}

@Suite struct KernelTests {
  @Test func everyKernelHasCases() {
    let covered = Set(KernelCase.all.map { Swift.type(of: $0.op).schema.name })
    let kernels = OpRegistry.standard.ops.filter { $0 is any Kernel.Type }.map { $0.schema.name }
    #expect(kernels.count > 40)
    #expect(Set(kernels).isSubset(of: covered), "no case of \(Set(kernels).subtracting(covered).sorted())")
  }

  @Test(arguments: [DType.float32, .float16, .bfloat16], [false, true])
  func agreesWithThePlainMeaning(_ activation: DType, _ strided: Bool) throws {
    var count = 0
    for (number, item) in KernelCase.all.enumerated() {
      for seed in (0..<(strided ? 3 : 1)).map({ UInt64(number * 8 + $0) }) {
        guard let trial = try KernelTrial(item, activation, strided: strided, seed: seed) else { continue }
        count += 1
        let expected = try Interpreter(trial.graph, weight: trial.weights.tensor).run(trial.inputs).outputs
        let model = Model(trial.graph, weights: trial.weights, options: RunOptions(threads: 1))
        let actual = try Session(model).run(trial.inputs)
        for (name, tensor) in expected {
          let other = try #require(actual[name])
          #expect(close(tensor, other, item.tolerance), "case \(number), seed \(seed), \(name)\n\(trial.graph.text)")
        }
      }
    }
    #expect(count > KernelCase.all.count * (strided ? 3 : 1) * 9 / 10, "\(count) trials")
  }

  /// The first of equal ones, and the first NaN before all.
  @Test func theGreatestOfRows() throws {
    let (nan, most) = (Float.nan, Float.infinity)
    let rows: [[Float]] = [[1, 3, 3], [nan, 9, nan], [2, nan, most], [-most, -most, -most], [-0.0, 0, -1]]
    let input = Tensor(rows.flatMap { $0 }, shape: [5, 3])
    var graph = Graph(name: "greatest")
    let x = graph.addInput("x", input.type)
    graph.addOutput("y", try graph.add(ArgMax(axis: -1, keepDims: false), [x])[0])
    let model = Model(graph, weights: TensorStore(), options: RunOptions(threads: 1))
    #expect(try Session(model).run(["x": input])["y"]?.integers == [1, 0, 1, 0, 0])
    #expect(
      try Interpreter(graph, weight: TensorStore().tensor).run(["x": input]).outputs["y"]?.integers == [1, 0, 1, 0, 0])
  }

  /// What follows a product and is taken into it: sums, whose other term comes before or after, narrow or broadcast.
  @Test(arguments: [
    "%4 = add(%3, %0)", "%4 = add(%0, %3)", "%4 = add(%3, %3)", "%4 = add(%3, %1)", "%4 = mul(%3, %0)",
    "%4 = add(%3, %7)",
  ])
  func sumsBehindProducts(_ sum: String) throws {
    let text = """
      graph "sum" {
        input %0 "x" : f32[2,3,4]
        input %1 "row" : f32[4]
        %2 = weight {name="w", dtype="bf16", shape=[4,4]} : bf16[4,4]
        %5 = transpose(%0) {permutation=[0,2,1]} : f32[2,4,3]
        %6 = reshape(%5) {shape=[2,3,4]} : f32[2,3,4]
        %7 = transpose(%6) {permutation=[0,1,2]} : f32[2,3,4]
        %3 = linear(%0, %2) {activation="silu"} : f32[2,3,4]
        \(sum) : f32[2,3,4]
        %8 = linear(%4, %2) : f32[2,3,4]
        %9 = relu(%8) : f32[2,3,4]
        %10 = add(%8, %4) : f32[2,3,4]
        output "a" = %9
        output "b" = %10
        output "c" = %4
      }

      """
    var random = Random(seed: 11)
    var weights = TensorStore()
    try weights.append("w", .random(.bfloat16, shape: [4, 4], using: &random))
    let inputs = [
      "x": try Tensor.random(.float32, shape: [2, 3, 4], using: &random),
      "row": try Tensor.random(.float32, shape: [4], using: &random),
    ]
    let graph = try Graph(text: text)
    let expected = try Interpreter(graph, weight: weights.tensor).run(inputs).outputs
    let actual = try Session(Model(graph, weights: weights, options: RunOptions(threads: 1))).run(inputs)
    for (name, tensor) in expected { #expect(try close(tensor, #require(actual[name]), 2e-5), "\(name)") }
  }

  func close(_ a: Tensor, _ b: Tensor, _ tolerance: Double) -> Bool {
    guard a.type == b.type else { return false }
    guard a.dtype.isFloat else { return a == b }
    let scale = a.doubles.reduce(1e-3) { $1.isFinite ? max($0, abs($1)) : $0 }
    let room = a.dtype == .bfloat16 ? 8e-3 : a.dtype == .float16 ? 1e-3 : tolerance
    return zip(a.doubles, b.doubles).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN || abs($0 - $1) <= room * scale }
  }
}
