public import Tensors

/// A kind of file that holds named tensors: one folder of this target, and one line in the list that joins all formats.
public protocol CheckpointFormat: Sendable {
  /// The word that a person names the format by: `npz`.
  var name: String { get }
  /// Endings of file names, with the dot; the first is the usual one.
  var suffixes: [String] { get }
  /// One line on what it is.
  var summary: String { get }

  /// Whether a file that starts with these bytes, some hundreds if there are as many, is of this format.
  func recognizes(_ start: [UInt8]) -> Bool

  /// Whether a folder with files and folders of these names is a checkpoint of this format; none is by default.
  func recognizes(folder names: [String]) -> Bool

  /// Reads what describes the tensors; a byte of one is read only when it is needed, or where a checksum covers it.
  func read(_ path: String) throws -> TensorStore
}

extension CheckpointFormat {
  public func recognizes(folder names: [String]) -> Bool { false }
}

/// A format that is written too.
public protocol WritableCheckpointFormat: CheckpointFormat {
  /// Whether files keep text metadata.
  var keepsMetadata: Bool { get }
  /// Whether tensors that are one and the same are stored once, see ``CheckpointEntry/twin``; they are not by default.
  var keepsTies: Bool { get }
  /// Whether a folder is written, not a file; it is not by default.
  var writesFolder: Bool { get }
  /// Whether an existing folder holds nothing but such a checkpoint, so that one may take its place.
  func mayReplace(folder path: String) throws -> Bool

  /// What keeps the format from holding these tensors and texts, one line each; empty when nothing does.
  func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String]

  /// Writes a file, complete or not at all, in an order that depends on nothing but the arguments. Metadata is left out
  /// where the format keeps none.
  func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool) throws
}

/// A tensor to write: type and shape, and a way to produce its bytes.
public struct CheckpointEntry: Sendable {
  public let name: TensorName
  public let dtype: DType
  public let shape: [Int]
  /// The encoding that a float32 tensor gets in a format that has it; nil for plain elements. Other formats store the
  /// elements all the same.
  public let encoding: BlockType?
  /// Another tensor with the same type and bytes, for formats that store such tensors once.
  public var twin: TensorName?
  /// What the tensor is computed by, where it is known.
  public let expression: TensorExpression?
  private let evaluate: Evaluate
  private let produce: @Sendable (any ByteSink) throws -> Void
  private let storedBlocks: (@Sendable () throws -> Bytes?)?

  /// Gives the bytes of an expression piece by piece, in order.
  public typealias Evaluate =
    @Sendable (
      _ expression: TensorExpression, _ body: (Bytes) throws -> Void
    ) throws -> Void

  /// `produce` writes exactly the bytes that type and shape take, in pieces of at most 1 MB to keep memory small, or as
  /// windows of mapped files. It may be called more than once.
  public init(
    _ name: TensorName, _ dtype: DType, shape: [Int], encoding: BlockType? = nil,
    produce: @escaping @Sendable (any ByteSink) throws -> Void
  ) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.encoding = encoding
    self.produce = produce
    expression = nil
    evaluate = CheckpointEntry.evaluate
    storedBlocks = nil
  }

  /// A tensor of a checkpoint, unchanged: with its blocks if it is stored so.
  public init(_ entry: TensorStore.Entry) {
    name = entry.name
    dtype = entry.dtype
    shape = entry.shape
    produce = { sink in try entry.forEachPiece { try sink.write($0) } }
    if case .blocks(let type) = entry.layout {
      encoding = type
      storedBlocks = { try entry.blocks()?.bytes }
    } else {
      (encoding, storedBlocks) = (nil, nil)
    }
    expression = TensorExpression(entry)
    evaluate = CheckpointEntry.evaluate
  }

  /// A tensor computed from tensors of a checkpoint, in an encoding or, without one, with its blocks if it is one that
  /// is stored so, stays as it is and is not to be decoded.
  public init(
    _ name: TensorName, _ expression: TensorExpression, encoding: BlockType? = nil, keepsBlocks: Bool = true,
    evaluate: @escaping Evaluate = CheckpointEntry.evaluate
  ) {
    self.name = name
    dtype = expression.dtype
    shape = expression.shape
    self.expression = expression
    self.evaluate = evaluate
    produce = { sink in try evaluate(expression) { try sink.write($0) } }
    guard let entry = expression.identity, case .blocks(let type) = entry.layout, encoding ?? type == type,
      entry.shape.last == expression.shape.last, keepsBlocks || encoding != nil
    else {
      (self.encoding, storedBlocks) = (encoding, nil)
      return
    }
    self.encoding = type
    storedBlocks = { try entry.blocks()?.bytes }
  }

  /// Another tensor in place of this one, such as a part of it.
  func replacing(_ expression: TensorExpression) -> CheckpointEntry {
    CheckpointEntry(name, expression, keepsBlocks: false, evaluate: evaluate)
  }

  /// Gives the bytes one piece at a time.
  @Sendable public static func evaluate(_ expression: TensorExpression, _ body: (Bytes) throws -> Void) throws {
    try expression.forEachPiece(body)
  }

  /// Whether blocks of ``encoding`` exist already.
  public var isEncoded: Bool { encoding != nil && storedBlocks != nil }
  /// The bytes that the tensor takes in its encoding.
  public var storedByteCount: Int? { encoding.map { $0.byteCount(shape: shape) } ?? byteCount }

  /// The name of the encoding, or of the element type without one.
  public var storedWord: String { encoding?.rawValue ?? dtype.rawValue }

  /// Blocks of ``encoding`` that exist already; nil when they are to be made from the elements.
  public func blocks() throws -> Bytes? { try storedBlocks?() }

  /// The bytes that the tensor takes; nil when the shape is out of limits.
  public var byteCount: Int? { Tensor.byteCount(dtype, shape: shape) }

  /// Writes the bytes; throws ``ErrorCode/outputFailed`` when they are not as many as type and shape say.
  public func write(to sink: any ByteSink) throws {
    let start = sink.position
    try produce(sink)
    guard sink.position - start == byteCount else {
      throw BessemerError(
        .outputFailed,
        "tensor \(quoted(name.string)) got \(sink.position - start) bytes, it takes \(byteCount ?? 0)")
    }
  }
}

extension WritableCheckpointFormat {
  public var writesFolder: Bool { false }
  public var keepsTies: Bool { false }
  public func mayReplace(folder path: String) throws -> Bool { false }

  /// Throws ``ErrorCode/unsupportedType`` when the format cannot hold these tensors, with all reasons.
  public func check(_ entries: [CheckpointEntry], metadata: [TensorName: String]) throws {
    var problems = problems(entries, metadata: metadata)
    var names: Set<TensorName> = []
    for entry in entries where !names.insert(entry.name).inserted {
      problems.append("tensor \(quoted(entry.name.string)) occurs twice")
    }
    guard let first = problems.first else { return }
    let others = problems.count > 1 ? " and \(problems.count - 1) more" : ""
    throw BessemerError(.unsupportedType, "\(name) files cannot hold \(first)\(others)", details: problems)
  }
}
