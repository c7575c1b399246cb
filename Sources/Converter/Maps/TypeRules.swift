public import Tensors

/// Which type each tensor is cast to: by the pattern that its name matches first, else by one for all.
public struct TypeRules: Sendable {
  /// The type for floating-point tensors of 16 bits and more whose names no pattern matches.
  public var common: DType?
  /// By name; tensors of any floating-point type, and of whole numbers when the type is one of those.
  public private(set) var patterns: [(pattern: NamePattern, dtype: DType)] = []

  /// The types that one for all may be, and that it casts.
  public static let commonTypes: [DType] = [.float64, .float32, .float16, .bfloat16]

  public init() {}

  /// Adds `TYPE`, or `PATTERN=TYPE`, as it is written on the command line.
  public mutating func add(_ text: String) throws {
    let equals = text.utf8.lastIndex(of: UInt8(ascii: "="))
    let word = equals.map { String(text[text.index(after: $0)...]) } ?? text
    guard let dtype = DType(spelling: word) else {
      throw BessemerError(
        .usage, "--dtype \(quoted(text)) has no element type; expected float32, float16 or bfloat16, or PATTERN=TYPE")
    }
    if let equals {
      guard dtype.isFloat || dtype.isInteger, dtype.bits >= 8 else {
        throw BessemerError(.unsupportedType, "tensors are not cast to \(dtype.longName)")
      }
      return patterns.append((try NamePattern(String(text[..<equals])), dtype))
    }
    guard common == nil else { throw BessemerError(.usage, "--dtype without a pattern is given twice") }
    guard TypeRules.commonTypes.contains(dtype) else {
      throw BessemerError(
        .unsupportedType, "tensors are not cast to \(dtype.longName); expected float64, float32, float16 or bfloat16")
    }
    common = dtype
  }

  /// The type that a tensor gets, and the pattern that says so.
  func target(_ name: TensorName, _ dtype: DType) throws -> (dtype: DType, pattern: Int?) {
    for (index, rule) in patterns.enumerated() where try rule.pattern.matches(name.string) {
      let fits = dtype.isFloat || dtype.isInteger && rule.dtype.isInteger
      return (fits ? rule.dtype : dtype, fits ? index : nil)
    }
    return (TypeRules.commonTypes.contains(dtype) ? common ?? dtype : dtype, nil)
  }
}
