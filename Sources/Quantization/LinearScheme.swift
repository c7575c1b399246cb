public import Tensors

/// A way to store the weight of a linear layer in few bits: one file of Schemes, one line in ``LinearSchemes``.
///
/// Rows of a weight do not depend on each other, and each tensor of a scheme consists of runs of bytes that belong to
/// rows, in order. So weights of any size are quantized in pieces.
///
/// Sources: the AscendV1 format and the arithmetic of msModelSlim 26.1.
public protocol LinearScheme: Sendable {
  /// The word that a person names the scheme by: `w8a8-dynamic`.
  var name: String { get }
  /// What quant_model_description.json says of its tensors: `W8A8_DYNAMIC`.
  var descriptionType: String { get }
  /// The numbers that its codes stand for.
  var grid: WeightGrid { get }
  /// Columns that share a scale; 0 when all of a row do.
  var groupSize: Int { get }
  /// Rows that go together; pieces are multiples of it.
  var rowMultiple: Int { get }
  /// Whether ``WeightRows/input`` is needed.
  var needsInputGrid: Bool { get }

  /// Whether inputs are quantized when the model runs.
  var quantizesInputs: Bool { get }

  /// Whether the layer's bias keeps its type; it becomes float32 otherwise.
  var keepsBias: Bool { get }

  /// Whether the description says of the bias, too, what it says of the scheme's tensors.
  var namesBias: Bool { get }

  /// The scheme with scales for groups of so many columns, or with offsets; nil where there is none.
  func grouped(_ size: Int) -> (any LinearScheme)?
  func asymmetric() -> (any LinearScheme)?
  /// The scheme as msModelSlim writes it, where that is no good.
  func original() -> any LinearScheme

  /// What keeps the scheme from storing this weight, in a few words; nil when nothing does.
  func problem(_ weight: LinearWeight) -> String?
  /// The tensors that stand for the weight, `weight` first.
  func tensors(_ weight: LinearWeight) -> [SchemeTensor]
  /// The bytes of some rows for each of the tensors, in their order. Tensors with one element for the whole layer are
  /// given by the first rows.
  /// Throws ``ErrorCode/weights`` when a weight is NaN or infinite.
  func quantize(_ rows: WeightRows) throws -> [Bytes]
}

extension LinearScheme {
  public var groupSize: Int { 0 }
  public var rowMultiple: Int { 1 }
  public var needsInputGrid: Bool { false }
  public var quantizesInputs: Bool { true }
  public var keepsBias: Bool { false }
  public var namesBias: Bool { false }

  public func grouped(_: Int) -> (any LinearScheme)? { nil }
  public func asymmetric() -> (any LinearScheme)? { nil }
  public func original() -> any LinearScheme { self }

  /// What is added to a name for groups and offsets: `-g128`, `-asym`.
  func marks(_ isSymmetric: Bool = true) -> String {
    (groupSize == 0 ? "" : "-g\(groupSize)") + (isSymmetric ? "" : "-asym")
  }

  public func problem(_ weight: LinearWeight) -> String? {
    guard weight.rows % rowMultiple == 0 else { return "\(weight.rows) rows, \(rowMultiple) are packed into one" }
    guard groupSize == 0 || weight.columns % groupSize == 0 else {
      return "\(weight.columns) columns are no multiple of the group size \(groupSize)"
    }
    return nil
  }
}

/// The kinds of numbers that a scheme's codes stand for.
public enum WeightGrid: Sendable, Equatable {
  /// Whole numbers times a scale, of so many bits, with a whole offset if they are not symmetric.
  case whole(bits: Int, isSymmetric: Bool)
  /// float8 e4m3 times a scale.
  case float8
  /// Float8 or float4 times a power of two, in blocks of 32.
  case mxfp8, mxfp4
  /// HiFloat8 without a scale.
  case hifloat8
  /// The weight's own type.
  case float
}

/// A tensor of a scheme: its name after the layer's, its type and shape.
public struct SchemeTensor: Sendable, Equatable {
  public let suffix: String
  public let dtype: DType
  public let shape: [Int]

  public init(_ suffix: String, _ dtype: DType, _ shape: [Int]) {
    self.suffix = suffix
    self.dtype = dtype
    self.shape = shape
  }
}
