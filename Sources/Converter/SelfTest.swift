internal import IR
internal import Passes
internal import Runtime
internal import Tensors

/// A model of a few numbers taken the whole way: text, passes, interpreter, runtime.
public enum SelfTest {
  private static let text = """
    graph "self-test" {
      input %0 "x" : f32[batch,2]
      %1 = weight {name="w", dtype="f32", shape=[3,2]} : f32[3,2]
      %2 = transpose(%1) {permutation=[1,0]} : f32[2,3]
      %3 = matmul(%0, %2) : f32[batch,3]
      %4 = sigmoid(%3) : f32[batch,3]
      %5 = mul(%3, %4) : f32[batch,3]
      output "y" = %5
    }
    """

  /// Throws when any step fails or the results differ from what they must be.
  public static func run() throws {
    let weight = try Tensor(.float32, shape: [3, 2], doubles: [1, 2, -1, 0.5, 0, 3])
    let x = try Tensor(.float32, shape: [1, 2], doubles: [0.5, -1])
    // silu of x · wᵀ = [-1.5, -1, -3]
    let expected = [-0.27363841, -0.26894142, -0.14227762]
    var graph = try Graph(text: text)
    _ = try PassRunner(defaultPasses()).run(on: &graph)
    guard try Graph(text: graph.text).text == graph.text else {
      throw BessemerError(.comparison, "self-test: the text of a graph does not parse back")
    }
    var store = TensorStore()
    try store.append("w", weight)
    let interpreted = try Interpreter(graph) { try store.tensor($0) }.run(["x": x]).outputs["y"]
    try compare(interpreted, expected, "interpreter")
    let model = Model(graph, weights: store, options: RunOptions(threads: 1))
    try compare(try Session(model).run(["x": x])["y"], expected, "runtime")
  }

  private static func compare(_ result: Tensor?, _ expected: [Double], _ what: String) throws {
    let values = result?.doubles ?? []
    guard values.count == expected.count, zip(values, expected).allSatisfy({ ($0 - $1).magnitude < 1e-4 }) else {
      throw BessemerError(.comparison, "self-test: the \(what) gives \(values), expected \(expected)")
    }
  }
}
