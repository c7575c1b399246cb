internal import Tensors

/// The memory that a conversion takes, planned before its first byte is written.
public struct ConversionMemory: Sendable {
  /// Bytes that the process has when everything is planned, its program included.
  public let startByteCount: Int
  /// Bytes for what describes the tensors while they are written, and for the system's share.
  public let tableByteCount: Int
  /// Bytes for pieces of tensors that are computed; 0 when all are copied.
  public let pieceByteCount: Int

  /// What conversions stay below when they are not told.
  public static let usualByteCount = 128 << 20
  /// More does not help.
  private static let mostPieceByteCount = 64 << 20
  private static let byteCountPerTensor = 1 << 10
  private static let fixedByteCount = 12 << 20

  /// Throws ``ErrorCode/memory`` when the limit that was given is too low.
  init(tensorCount: Int, _ resources: Resources, computes: Bool) throws {
    startByteCount = Machine.residentByteCount
    tableByteCount = ConversionMemory.fixedByteCount + tensorCount * ConversionMemory.byteCountPerTensor
    let limit = resources.memoryLimit ?? ConversionMemory.usualByteCount
    let left = limit - startByteCount - tableByteCount
    let least = computes ? TensorEvaluator.leastByteCount : 0
    if let limit = resources.memoryLimit, left < least {
      let needed = (startByteCount + tableByteCount + least) >> 20 + 1
      throw BessemerError(.memory, "needs \(needed) MiB of memory, --max-memory allows \(limit >> 20) MiB")
    }
    pieceByteCount =
      computes
      ? min(
        max(left, least), resources.threads * TensorEvaluator.mostByteCountPerThread,
        ConversionMemory.mostPieceByteCount) : 0
  }

  /// The most that the conversion is going to have.
  public var peakByteCount: Int { startByteCount + tableByteCount + pieceByteCount }
}
