import Tensors

/// A dimension as a sum of products, for the arithmetic that reshaping needs: `batch*sequence+4*batch+1`.
struct DimSum: Equatable {
  /// Factor by product of names in alphabetical order; the number stands under the empty product. No factor is zero.
  private var terms: [[Substring]: Int] = [:]

  /// More terms than this are not worth a name.
  private static let maximumTermCount = 16

  private init() {}

  init(_ dim: Dim) {
    switch dim {
    case .known(let n): add([], n)
    case .symbol(let text):
      for term in text.split(separator: "+") {
        let parts = term.split(separator: "*")
        add(parts.filter { Int($0) == nil }.sorted(), parts.compactMap { Int($0) }.reduce(1, &*))
      }
    }
  }

  private mutating func add(_ names: [Substring], _ factor: Int) {
    let sum = terms[names, default: 0] &+ factor
    terms[names] = sum == 0 ? nil : sum
  }

  /// The product, or nil when it is too long or too large.
  static func * (a: DimSum, b: DimSum) -> DimSum? {
    guard a.terms.count * b.terms.count <= maximumTermCount else { return nil }
    var result = DimSum()
    for (x, m) in a.terms {
      for (y, n) in b.terms {
        let (factor, overflow) = m.multipliedReportingOverflow(by: n)
        guard !overflow, factor.magnitude <= 1 << 48 else { return nil }
        result.add((x + y).sorted(), factor)
      }
    }
    return result
  }

  /// The quotient by a single product that divides every term, or nil.
  func divided(by divisor: DimSum) -> DimSum? {
    guard divisor.terms.count == 1, let (names, number) = divisor.terms.first else { return nil }
    var result = DimSum()
    for (own, factor) in terms {
      guard factor % number == 0 else { return nil }
      var rest = own
      for name in names {
        guard let index = rest.firstIndex(of: name) else { return nil }
        rest.remove(at: index)
      }
      result.add(rest, factor / number)
    }
    return result
  }

  /// How many steps of `step` fit into the sum with `number` added, and one: nil when that is not the same for all
  /// values of the symbols, or negative.
  func steps(growing number: Int, by step: Int) -> DimSum? {
    var result = DimSum()
    for (names, factor) in terms where !names.isEmpty {
      guard factor % step == 0 else { return nil }
      result.add(names, factor / step)
    }
    let rest = (terms[[]] ?? 0) + number
    guard rest >= 0 || !result.terms.isEmpty else { return nil }
    result.add([], (rest >= 0 ? rest / step : -((step - 1 - rest) / step)) + 1)
    return result
  }

  /// The dimension, terms in alphabetical order and the number last.
  var dim: Dim {
    let number = terms[[]] ?? 0
    let symbols = terms.filter { !$0.key.isEmpty }.map { names, factor in
      ((factor == 1 ? [] : [String(factor)]) + names.map(String.init)).joined(separator: "*")
    }
    guard !symbols.isEmpty else { return .known(number) }
    return .symbol((symbols.sorted() + (number == 0 ? [] : [String(number)])).joined(separator: "+"))
  }
}

/// The product of dimensions, or nil when it is too long or too large to be written.
func product(_ dims: some Sequence<Dim>) -> DimSum? {
  var number = 1
  var result = DimSum(.known(1))
  for dim in dims {
    switch dim {
    case .known(let n):
      let (next, overflow) = number.multipliedReportingOverflow(by: n)
      guard !overflow else { return nil }
      number = next
    case .symbol:
      guard let next = result * DimSum(dim) else { return nil }
      result = next
    }
  }
  return number == 1 ? result : result * DimSum(.known(number))
}

/// The number of windows, each `step` further, in a dimension that is padded by `number`, a window's size taken off.
func steps(of dim: Dim, growing number: Int, by step: Int) -> Dim? {
  DimSum(dim).steps(growing: number, by: step)?.dim
}

extension Dim {
  /// The largest dimension, number of elements and number in a symbol.
  static let limit = 1 << 48
  /// The most bytes that a symbol's text may take.
  static let maximumSymbolLength = 255

  /// Whether a known dimension is from 0 to 2^48, or a symbol is short and its numbers are at most that.
  var isWithinLimits: Bool {
    switch self {
    case .known(let n): return n >= 0 && n <= Dim.limit
    case .symbol(let text):
      guard text.utf8.count <= Dim.maximumSymbolLength else { return false }
      let isPlain = text.utf8.allSatisfy { $0 != UInt8(ascii: "+") }
      return isPlain || text.split(separator: "+").allSatisfy { (Int($0)?.magnitude ?? 0) <= Dim.limit }
    }
  }
}

extension TensorType {
  /// The most dimensions.
  static let maximumRank = 32

  /// Whether rank and dimensions are within limits, and the number of elements if it is known.
  var isWithinLimits: Bool {
    guard rank <= TensorType.maximumRank, dims.allSatisfy(\.isWithinLimits) else { return false }
    return shape.map { Tensor.elementCount(of: $0) != nil } ?? true
  }
}
