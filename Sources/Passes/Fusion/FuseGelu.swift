import IR
import Tensors

/// `x/2 · (1 + erf(x/√2))` and its tanh approximation become `gelu`.
///
/// Source: Hendrycks and Gimpel, arXiv 1606.08415.
public struct FuseGelu: FusionPass {
  public let name = "fuse-gelu"
  let result = "gelu"
  let roots: [any Op.Type] = [Multiply.self]
  let patterns: [Pattern]
  public init() {
    let x = Pattern.value("x")
    func halved(_ bell: Pattern) -> [Pattern] {
      [(x * .exactly(0.5)) * bell, x * (bell * .exactly(0.5)), (x * bell) * .exactly(0.5), (x / .exactly(2)) * bell]
    }
    let scaled = Pattern.either([x * .exactly(0.5.squareRoot()), x / .exactly(2.0.squareRoot())])
    let exact = Pattern.exactly(1) + .op(Erf.self, scaled)
    let cube = Pattern.either([(x * x) * x, .op(Power.self, x, .exactly(3))])
    let root = (2 / Double.pi).squareRoot()
    let inner = Pattern.either([
      (x + cube * .exactly(0.044715)) * .exactly(root),
      // gelu_fast: x·√(2/π)·(1 + 0.044715·x²)
      (x * .exactly(root)) * (.exactly(1) + (x * .exactly(0.044715)) * x),
    ])
    let approximate = Pattern.exactly(1) + .op(Tanh.self, .captured("inner", inner))
    patterns = halved(exact) + halved(approximate)
  }

  func fuse(_ match: Match, in _: inout Graph, at _: ValueID) -> Fusion {
    .replaced(Gelu(approximation: match.values["inner"] == nil ? .none : .tanh), [match["x"]])
  }
}
