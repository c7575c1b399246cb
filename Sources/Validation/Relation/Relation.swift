public import Tensors

/// What a tensor of an output is to the tensors of its source.
public struct Relation: Sendable {
  /// The most telling word for it.
  public enum Kind: String, Sendable, CaseIterable {
    /// The same elements in the same order and type; the shape may be another.
    case identical
    /// Each element converted to another type.
    case cast
    /// The two dimensions of a matrix exchanged.
    case transposed
    /// Axes or rows in another order.
    case permuted
    /// Several tensors joined.
    case concatenated
    /// A part of a tensor.
    case split
    /// A second copy of a tensor that the source holds once.
    case tied
    /// Whole numbers or short floats with scales, near the tensor.
    case quantized
    /// Scales or offsets of a quantized tensor.
    case scale
    case unexplained
  }

  public let kind: Kind
  /// Names of the source's tensors that take part, in order.
  public let sources: [TensorName]
  /// What was done to them, in order.
  public let steps: [String]
  /// What casts did.
  public let losses: CastLosses
  /// More in words: why nothing explains the tensor, or how far a quantized one is off.
  public var note: String?

  init(
    _ kind: Kind, _ sources: [TensorName], steps: [String] = [], losses: CastLosses = CastLosses(), note: String? = nil
  ) {
    self.kind = kind
    self.sources = sources
    self.steps = steps
    self.losses = losses
    self.note = note
  }

  static func unexplained(_ note: String, _ sources: [TensorName] = []) -> Relation {
    Relation(.unexplained, sources, note: note)
  }
}
