public import IR
public import Tensors

/// A chip to export for: a value that says which operators it has for which element types.
public struct Target: Sendable, Hashable {
  /// The name that ATC's `--soc_version` takes, `Ascend910B3`.
  public let name: String
  /// The generation that decides which operators exist.
  public let family: Family

  public enum Family: String, Sendable, CaseIterable {
    case ascend310 = "Ascend310"
    case ascend310B = "Ascend310B"
    case ascend310P = "Ascend310P"
    case ascend910 = "Ascend910"
    case ascend910B = "Ascend910B"
    case ascend910C = "Ascend910_93"
  }

  /// The element types that the chip's operator takes as first input; empty when it has no such operator.
  ///
  /// Source: the operator information library of CANN 8.1.RC1.
  public func types(of op: any Op.Type) -> Set<DType> { Target.operators[op.schema.name]?[family] ?? [] }

  /// The target of this name, in any letter case.
  public init?(named name: String) {
    guard let target = Target.all.first(where: { $0.name.lowercased() == name.lowercased() }) else { return nil }
    self = target
  }

  private init(_ name: String, _ family: Family) {
    self.name = name
    self.family = family
  }

  public static let all: [Target] =
    [Target("Ascend310", .ascend310)]
    + ["310B1", "310B4"].map { Target("Ascend" + $0, .ascend310B) }
    + ["310P1", "310P3", "310P5", "310P7"].map { Target("Ascend" + $0, .ascend310P) }
    + ["910A", "910B", "910ProA", "910ProB", "910PremiumA"].map { Target("Ascend" + $0, .ascend910) }
    + ["910B1", "910B2", "910B2C", "910B3", "910B4", "910B4-1"].map { Target("Ascend" + $0, .ascend910B) }
    + ["9362", "9372", "9381", "9382", "9391", "9392"].map { Target("Ascend910_" + $0, .ascend910C) }

  private static let operators: [String: [Family: Set<DType>]] = {
    let (half, both, all): (Set<DType>, Set<DType>, Set<DType>) = (
      [.float16], [.float16, .float32], [.bfloat16, .float16, .float32]
    )
    let a2: [Family: Set<DType>] = [.ascend910B: all, .ascend910C: all]
    func with(_ others: [Family: Set<DType>]) -> [Family: Set<DType>] { a2.merging(others) { $1 } }
    let attention: Set<DType> = [.bfloat16, .float16]
    return [
      Ascend.RmsNorm.name: with([.ascend310P: both, .ascend910: both]),
      Ascend.AddRmsNorm.name: with([.ascend310P: both]),
      Ascend.SwiGlu.name: with([.ascend310P: both]),
      Ascend.RotaryMul.name: with([.ascend310P: both, .ascend910: both]),
      Ascend.FlashAttentionScore.name: a2,
      Ascend.PromptFlashAttention.name: [.ascend310P: half, .ascend910B: attention, .ascend910C: attention],
      Ascend.LayerNormV4.name: with([.ascend310P: half]),
      Ascend.GeluV2.name: with([.ascend310B: both, .ascend310P: both, .ascend910: both]),
    ]
  }()
}

extension QuantizedArithmetic {
  /// The arithmetic of a generation, `a2`, `a3`, `a5` or `310p`, or of a chip by its name; nil for any other word, and
  /// for chips that multiply nothing quantized.
  public init?(named name: String) {
    let word = name.lowercased()
    if let own = QuantizedArithmetic(rawValue: word) {
      self = own
    } else if word == "a3" {
      self = .a2
    } else if word.hasPrefix("ascend950") {
      self = .a5
    } else if let own = Target(named: name)?.arithmetic {
      self = own
    } else {
      return nil
    }
  }
}

extension Target {
  /// How the chip multiplies quantized weights; nil when it does not.
  public var arithmetic: QuantizedArithmetic? {
    switch family {
    case .ascend310P: .p310
    case .ascend910B, .ascend910C: .a2
    case .ascend310, .ascend310B, .ascend910: nil
    }
  }
}
