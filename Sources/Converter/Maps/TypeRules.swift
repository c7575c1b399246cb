public import Tensors

/// Which type or encoding each tensor gets: by the pattern that its name matches first, else by one for all.
public struct TypeRules: Sendable {
  /// What a tensor becomes.
  public enum Target: Sendable, Equatable {
    case type(DType)
    /// Blocks of an encoding, of a format that has it.
    case blocks(BlockType)

    /// The name of the type or encoding.
    public var word: String {
      switch self {
      case .type(let dtype): dtype.rawValue
      case .blocks(let type): type.rawValue
      }
    }
  }

  /// For floating-point tensors of 16 bits and more whose names no pattern matches; blocks only for those of two
  /// dimensions and more, as vectors are few and needed exactly.
  public var common: Target?
  /// By name; tensors of any floating-point type, and of whole numbers when the type is one of those.
  public private(set) var patterns: [(pattern: NamePattern, target: Target)] = []

  /// Of tensors by their whole names, before any pattern.
  public var names: [TensorName: Target] = [:]

  /// The types that one for all may be, and that it casts.
  public static let commonTypes: [DType] = [.float64, .float32, .float16, .bfloat16]

  public init() {}

  /// Adds `TYPE`, or `PATTERN=TYPE`, as it is written on the command line.
  public mutating func add(_ text: String) throws {
    let equals = text.utf8.lastIndex(of: UInt8(ascii: "="))
    let word = equals.map { String(text[text.index(after: $0)...]) } ?? text
    if let type = BlockType(rawValue: word.lowercased()) {
      guard BlockType.writable.contains(type) else {
        let known = BlockType.writable.map(\.rawValue).joined(separator: ", ")
        throw BessemerError(.unsupportedType, "no tensor is encoded as \(type.rawValue); expected one of \(known)")
      }
      return try add(.blocks(type), equals.map { String(text[..<$0]) })
    }
    guard let dtype = DType(spelling: word) else {
      throw BessemerError(
        .usage, "--dtype \(quoted(text)) has no element type; expected float32, float16 or bfloat16, or PATTERN=TYPE")
    }
    if let equals {
      guard dtype.isFloat || dtype.isInteger, dtype.bits >= 8 else {
        throw BessemerError(.unsupportedType, "tensors are not cast to \(dtype.longName)")
      }
      return try add(.type(dtype), String(text[..<equals]))
    }
    guard TypeRules.commonTypes.contains(dtype) else {
      throw BessemerError(
        .unsupportedType, "tensors are not cast to \(dtype.longName); expected float64, float32, float16 or bfloat16")
    }
    try add(.type(dtype), nil)
  }

  private mutating func add(_ target: Target, _ pattern: String?) throws {
    if let pattern { return patterns.append((try NamePattern(pattern), target)) }
    guard common == nil else { throw BessemerError(.usage, "--dtype without a pattern is given twice") }
    common = target
  }

  /// What a tensor becomes, nil for one that stays as it is, and the pattern that says so.
  func target(_ name: TensorName, _ type: TensorType) throws -> (target: Target?, pattern: Int?) {
    if let target = names[name] { return (type.dtype.isFloat ? target : nil, nil) }
    for (index, rule) in patterns.enumerated() where try rule.pattern.matches(name.string) {
      var fits = type.dtype.isFloat
      if case .type(let dtype) = rule.target, type.dtype.isInteger, dtype.isInteger { fits = true }
      return fits ? (rule.target, index) : (nil, nil)
    }
    guard TypeRules.commonTypes.contains(type.dtype) else { return (nil, nil) }
    if case .blocks = common, type.shape?.count ?? 0 < 2 { return (nil, nil) }
    return (common, nil)
  }
}
