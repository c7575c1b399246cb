import IR
import Runtime
import TestSupport
import Tensors
import Testing

/// Operators that calibration needs as PyTorch computes them, to the bit where sums are of float32.
@Suite struct PyTorchTests {
  /// The numbers of `fixtures/quantization/make_pytorch.py`.
  static func numbers(_ shape: [Int], _ salt: Int, size: Float = 1) throws -> Tensor {
    let values = (0..<shape.reduce(1, *)).map { (index: Int) -> Float in
      let whole = (index * 7919 + salt * 104729) % 2003 - 1001
      return Float(whole) / 317 * size
    }
    return Tensor(values, shape: shape)
  }

  private func expected(_ name: String) throws -> [Float] {
    let reference = try Fixtures.json("quantization/pytorch.json")
    return try #require(reference[name]).asArray().map {
      Float(bitPattern: UInt32(bitPattern: Int32(try #require($0.int))))
    }
  }

  /// The result of one operator.
  private func run(_ op: any Op, _ operands: [Tensor], weights: [Tensor] = []) throws -> Tensor {
    var (graph, store, inputs) = (Graph(name: "trial"), TensorStore(), [String: Tensor]())
    var values: [ValueID] = []
    for (place, tensor) in operands.enumerated() {
      inputs["x\(place)"] = tensor
      values.append(graph.addInput("x\(place)", tensor.type))
    }
    for (place, tensor) in weights.enumerated() {
      try store.append(TensorName("w\(place)"), tensor)
      values.append(try graph.add(Weight(TensorName("w\(place)"), tensor.dtype, shape: tensor.shape))[0])
    }
    graph.addOutput("y", try graph.add(op, values)[0])
    var options = RunOptions(threads: 2)
    options.isAsPyTorch = true
    return try #require(try Session(Model(graph, weights: store, options: options)).run(inputs)["y"])
  }

  @Test func linear() throws {
    let y = try run(
      Linear(), [Self.numbers([16, 250], 4)], weights: [Self.numbers([24, 250], 5), Self.numbers([24], 6)])
    #expect(try y.floats == expected("linear"))
  }

  @Test func mean() throws {
    let x = try Self.numbers([3, 1100], 7)
    let squares = Tensor(x.floats.map { $0 * $0 }, shape: x.shape)
    #expect(try run(ReduceMean(axes: [-1]), [squares]).floats == expected("mean"))
  }

  @Test func silu() throws {
    #expect(try run(Silu(), [Self.numbers([200], 8)]).floats == expected("silu"))
  }

  @Test func sines() throws {
    let angles = try Self.numbers([200], 9, size: 64)
    #expect(try run(Cos(), [angles]).floats == expected("cos"))
    #expect(try run(Sin(), [angles]).floats == expected("sin"))
  }

  /// In 16 bits products are of float32 here: a weight may be rounded the other way.
  @Test(arguments: [(DType.float32, Float(0)), (.bfloat16, 0.02), (.float16, 0.003)])
  func attention(_ dtype: DType, _ tolerance: Float) throws {
    let q = try Self.numbers([1, 4, 40, 16], 1).cast(to: dtype)
    let k = try Self.numbers([1, 2, 40, 16], 2).cast(to: dtype)
    let v = try Self.numbers([1, 2, 40, 16], 3).cast(to: dtype)
    let made = try run(Attention(scale: 0.25, causal: true), [q, k, v]).floats
    var every: [Float] = []
    for head in 0..<4 {
      for row in stride(from: 0, to: 40, by: 3) {
        let start = (head * 40 + row) * 16
        every += made[start..<start + 16]
      }
    }
    let wanted = try expected("attention.\(dtype)")
    #expect(every.count == wanted.count)
    var different = 0
    for (a, b) in zip(every, wanted) {
      let bound = tolerance * max(1, abs(b))
      #expect(abs(a - b) <= bound)
      if a != b { different += 1 }
    }
    // Few differ at all.
    let most = dtype == .float32 ? 0 : wanted.count / 50
    #expect(different <= most)
  }
}
