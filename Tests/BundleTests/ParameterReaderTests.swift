import IR
import Tensors
import TestSupport
import Testing

@Suite struct ParameterReaderTests {
  typealias Build = @Sendable (inout Graph, [ValueID]) throws -> ValueID

  /// Expressions over the weights `a` f32[6,4], `b` f32[6,4], `c` f32[3,4], `d` bf16[2,3,4], `e` i64[6,4].
  static let expressions: [(name: String, build: Build)] = [
    ("weight", { _, w in w[0] }),
    ("cast", { g, w in try g.add(Cast(to: .bfloat16), [w[0]])[0] }),
    ("cast by value", { g, w in try g.add(Cast(to: .float8e4m3fn), [w[0]])[0] }),
    ("cast of integers", { g, w in try g.add(Cast(to: .float32), [w[4]])[0] }),
    ("cast below a byte", { g, w in try g.add(Cast(to: .int4), [w[4]])[0] }),
    ("concat rows", { g, w in try g.add(Concat(axis: 0), [w[0], w[2], w[1]])[0] }),
    ("concat columns", { g, w in try g.add(Concat(axis: -1), [w[0], w[1]])[0] }),
    ("transpose", { g, w in try g.add(Transpose(permutation: [1, 0]), [w[0]])[0] }),
    ("transpose of three", { g, w in try g.add(Transpose(permutation: [2, 0, 1]), [w[3]])[0] }),
    ("slice rows", { g, w in try g.add(Slice(axis: 0, start: 1, end: 5), [w[0]])[0] }),
    ("slice columns", { g, w in try g.add(Slice(axis: 1, start: 1, end: 3), [w[0]])[0] }),
    ("slice backwards", { g, w in try g.add(Slice(axis: 1, start: -1, end: .min, step: -2), [w[0]])[0] }),
    ("slice of nothing", { g, w in try g.add(Slice(axis: 0, start: 3, end: 3), [w[0]])[0] }),
    ("split", { g, w in try g.add(Split(axis: 0, sizes: [1, 3, 2]), [w[0]])[1] }),
    ("split columns", { g, w in try g.add(Split(axis: 1, sizes: [1, 3]), [w[0]])[1] }),
    ("reshape", { g, w in try g.add(Reshape(shape: [3, 8]), [w[0]])[0] }),
    ("squeeze", { g, w in try g.add(Squeeze(axis: 0), g.add(Unsqueeze(axis: 0), [w[0]]))[0] }),
    ("expand", { g, w in try g.add(Expand(shape: [5, 6, 4]), [w[0]])[0] }),
    ("sum", { g, w in try g.add(Add(), [w[0], w[1]])[0] }),
    (
      "product of sums",
      { g, w in
        let sum = try g.add(Add(), [w[0], w[1]])[0]
        return try g.add(Transpose(permutation: [1, 0]), g.add(Multiply(), [sum, sum]))[0]
      }
    ),
    (
      "transposed concat of casts",
      { g, w in
        let parts = try [w[0], w[2]].map { try g.add(Cast(to: .float16), [$0])[0] }
        return try g.add(Transpose(permutation: [1, 0]), g.add(Concat(axis: 0), parts))[0]
      }
    ),
    (
      "slice of concat",
      { g, w in
        try g.add(Slice(axis: 0, start: 4, end: 10), g.add(Concat(axis: 0), [w[0], w[2], w[1]]))[0]
      }
    ),
    (
      "columns of concat",
      { g, w in
        try g.add(Slice(axis: 1, start: 1), g.add(Concat(axis: 0), [w[0], w[2]]))[0]
      }
    ),
    (
      "reshaped transpose",
      { g, w in
        try g.add(Reshape(shape: [2, 12]), g.add(Transpose(permutation: [1, 0]), [w[0]]))[0]
      }
    ),
    (
      "rows of a reshaped transpose",
      { g, w in
        let flat = try g.add(Reshape(shape: [2, 12]), g.add(Transpose(permutation: [1, 0]), [w[0]]))
        return try g.add(Slice(axis: 0, start: 1), flat)[0]
      }
    ),
    (
      "transposed reshaped transpose",
      { g, w in
        let flat = try g.add(Reshape(shape: [2, 12]), g.add(Transpose(permutation: [1, 0]), [w[0]]))
        return try g.add(Transpose(permutation: [1, 0]), flat)[0]
      }
    ),
    (
      "rotary order",
      { g, w in
        let four = try g.add(Reshape(shape: [1, 2, 3, 4]), g.add(Cast(to: .bfloat16), [w[0]]))
        let turned = try g.add(Transpose(permutation: [0, 2, 1, 3]), four)
        return try g.add(Cast(to: .float32), g.add(Reshape(shape: [6, 4]), turned))[0]
      }
    ),
    (
      "constant",
      { g, w in
        let constant = try g.add(Constant(Tensor([Float(1), 2, 3, 4], shape: [4])))[0]
        return try g.add(Multiply(), [w[0], constant])[0]
      }
    ),
  ]

  static func weights() throws -> TensorStore {
    var random = SplitMix64(seed: 7)
    var store = TensorStore()
    for (name, dtype, shape) in [
      ("a", DType.float32, [6, 4]), ("b", .float32, [6, 4]), ("c", .float32, [3, 4]), ("d", .bfloat16, [2, 3, 4]),
      ("e", .int64, [6, 4]),
    ] { try store.append(TensorName(name), random.tensor(dtype, shape)) }
    return store
  }

  @Test(arguments: expressions.indices) func agreesWithTheMeaning(_ number: Int) throws {
    let (name, build) = ParameterReaderTests.expressions[number]
    let store = try ParameterReaderTests.weights()
    var graph = Graph(name: name)
    let weights = try store.entries.map { try graph.add(Weight($0.name, $0.dtype, shape: $0.shape))[0] }
    let value = try build(&graph, weights)
    graph.addOutput("y", value)
    let expected = try #require(try Interpreter(graph, weight: { try store.tensor($0) }).run([:]).outputs["y"])
    let reader = ParameterReader(graph, weights: store)
    #expect(reader.isParameter(value))
    #expect(try reader.tensor(value) == expected, "\(name)")
    // Every range of rows.
    let rows = expected.shape.first ?? 1
    guard expected.dtype.bits >= 8 || expected.elementCount % 2 == 0 else { return }
    let size = rows == 0 ? 0 : expected.bytes.count / rows
    for first in 0...rows {
      for last in first...rows {
        let bytes = try Bytes(byteCount: (last - first) * size) {
          try reader.write(value, rows: first..<last, into: $0)
        }
        #expect(bytes == expected.bytes[(first * size)..<(last * size)], "\(name), rows \(first)..<\(last)")
      }
    }
    // Every element by itself.
    guard expected.dtype.bits >= 8 else { return }
    let element = expected.dtype.bits / 8
    for index in 0..<expected.elementCount {
      var losses = CastLosses()
      let bytes = try Bytes(byteCount: element) {
        try reader.write(value, elements: index..<(index + 1), into: $0, losses: &losses)
      }
      #expect(bytes == expected.bytes[(index * element)..<((index + 1) * element)], "\(name), element \(index)")
    }
  }

  @Test func largePieces() throws {
    var random = SplitMix64(seed: 3)
    let source = try random.tensor(.float32, [700, 900])
    var store = TensorStore()
    try store.append("w", source)
    var graph = Graph(name: "large")
    let weight = try graph.add(Weight("w", .float32, shape: [700, 900]))
    let value = try graph.add(Cast(to: .bfloat16), graph.add(Transpose(permutation: [1, 0]), weight))[0]
    graph.addOutput("y", value)
    let turned = try Transpose(permutation: [1, 0]).evaluate([source])[0]
    #expect(try ParameterReader(graph, weights: store).tensor(value) == turned.cast(to: .bfloat16))
  }

  @Test func tellsParametersFromOthers() throws {
    var graph = Graph(name: "kinds")
    let x = graph.addInput("x", TensorType(.float32, shape: [4]))
    let weight = try graph.add(Weight("a", .float32, shape: [4]))[0]
    let sum = try graph.add(Add(), [x, weight])[0]
    let reader = ParameterReader(graph, weights: TensorStore())
    #expect(!reader.isParameter(x) && reader.isParameter(weight) && !reader.isParameter(sum))
    #expect(code { _ = try reader.tensor(weight) } == .weights)
  }

  @Test func countsLosses() throws {
    var store = TensorStore()
    try store.append("w", Tensor([Float(1), 1.0001, 1e30, .nan, -0, 65504, .infinity], shape: [7]))
    var graph = Graph(name: "losses")
    let weight = try graph.add(Weight("w", .float32, shape: [7]))
    let half = try graph.add(Cast(to: .float16), weight)[0]
    let brain = try graph.add(Cast(to: .bfloat16), weight)[0]
    let eight = try graph.add(Cast(to: .float8e5m2), weight)[0]
    let reader = ParameterReader(graph, weights: store)
    for (value, to, expected) in [
      (half, DType.float16, CastLosses.Count(examined: 7, changed: 2, overflowed: 1)),
      (brain, .bfloat16, CastLosses.Count(examined: 7, changed: 3, overflowed: 0)),
      (eight, .float8e5m2, CastLosses.Count(examined: 7, changed: 3, overflowed: 2)),
    ] {
      var losses = CastLosses()
      _ = try Bytes(byteCount: 7 * to.bits / 8) {
        try reader.write(value, elements: 0..<7, into: $0, losses: &losses)
      }
      #expect(Array(losses.counts.keys) == [CastLosses.Types(from: .float32, to: to)])
      let total = losses.total
      #expect(total.examined == expected.examined && total.changed == expected.changed, "\(to)")
      #expect(total.overflowed == expected.overflowed && total.nanCount == 1, "\(to)")
    }
  }

  @Test func deepExpressions() throws {
    var store = TensorStore()
    try store.append("w", Tensor([Float(1), 2], shape: [2]))
    var graph = Graph(name: "deep")
    var value = try graph.add(Weight("w", .float32, shape: [2]))[0]
    for k in 0..<20_000 {
      value = try graph.add(k % 2 == 0 ? Negate() : Cast(to: k % 4 == 1 ? .float64 : .float32), [value])[0]
    }
    graph.addOutput("y", value)
    #expect(try ParameterReader(graph, weights: store).tensor(value).doubles == [1, 2])
  }
}
