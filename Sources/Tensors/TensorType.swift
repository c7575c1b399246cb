/// One dimension of a type: a number, or a symbol that is bound when the graph runs.
///
/// A symbol is a name (`batch`) or a canonical sum of names, products and a number (`past+sequence`, `2*height+1`).
public enum Dim: Hashable, Sendable {
  case known(Int)
  case symbol(String)

  /// The number, unless symbolic.
  public var value: Int? { if case .known(let n) = self { n } else { nil } }

  /// The sum, symbolic terms in alphabetical order and the number last.
  public static func + (a: Dim, b: Dim) -> Dim {
    switch (a, b) {
    case (.known(let m), .known(let n)): return .known(m + n)
    case (.known(0), let other), (let other, .known(0)): return other
    default:
      let terms = (a.terms + b.terms)
      let number = terms.compactMap { Int($0) }.reduce(0, +)
      let names = terms.filter { Int($0) == nil }.sorted()
      return .symbol((names + (number == 0 ? [] : [String(number)])).joined(separator: "+"))
    }
  }

  private var terms: [String] {
    switch self {
    case .known(let n): [String(n)]
    case .symbol(let s): s.split(separator: "+").map(String.init)
    }
  }

  /// The value under `bindings`, or nil when one of its symbols is not bound or the value is too large.
  public func value(in bindings: [String: Int]) -> Int? {
    // Mostly a number or one name.
    switch self {
    case .known(let number) where number.magnitude <= 1 << 48: return number
    case .symbol(let name): if let number = bindings[name], number.magnitude <= 1 << 48 { return number }
    default: break
    }
    var sum = 0
    for term in terms {
      var product = 1
      for factor in term.split(separator: "*") {
        guard let number = Int(factor) ?? bindings[String(factor)] else { return nil }
        let (next, overflow) = product.multipliedReportingOverflow(by: number)
        guard !overflow, next.magnitude <= 1 << 48 else { return nil }
        product = next
      }
      sum += product
    }
    return sum
  }

  /// The one name that is not bound in a product of numbers and names, and the value of the others; nil for anything
  /// else.
  public func unknown(in bindings: [String: Int]) -> (name: String, factor: Int)? {
    guard case .symbol(let text) = self, !text.utf8.contains(UInt8(ascii: "+")) else { return nil }
    let factors = text.split(separator: "*").map(String.init)
    let names = factors.filter { Int($0) == nil && bindings[$0] == nil }
    guard names.count == 1, let name = names.first else { return nil }
    let others = Dim.symbol((factors.filter { $0 != name } + ["1"]).joined(separator: "*"))
    return others.value(in: bindings).map { (name, $0) }
  }
}

extension Dim: CustomStringConvertible, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
  public init(integerLiteral value: Int) { self = .known(value) }
  public init(stringLiteral value: String) { self = .symbol(value) }
  public var description: String {
    switch self {
    case .known(let n): String(n)
    case .symbol(let s): s
    }
  }
}

/// Element type and dimensions of a value; a scalar has no dimensions.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  public var dtype: DType
  public var dims: [Dim]

  public init(_ dtype: DType, _ dims: [Dim]) {
    self.dtype = dtype
    self.dims = dims
  }

  public init(_ dtype: DType, shape: [Int]) { self.init(dtype, shape.map { .known($0) }) }

  public var rank: Int { dims.count }

  /// The dimensions as numbers, or nil when one is symbolic.
  public var shape: [Int]? {
    var result: [Int] = []
    result.reserveCapacity(dims.count)
    for dim in dims {
      guard case .known(let n) = dim else { return nil }
      result.append(n)
    }
    return result
  }

  /// The same type with its symbols replaced by numbers where `bindings` has them.
  public func bound(_ bindings: [String: Int]) -> TensorType {
    TensorType(dtype, dims.map { dim in dim.value(in: bindings).map { .known($0) } ?? dim })
  }

  /// `bf16[batch,sequence,192]`
  public var description: String { "\(dtype.rawValue)[\(dims.map(\.description).joined(separator: ","))]" }
}
