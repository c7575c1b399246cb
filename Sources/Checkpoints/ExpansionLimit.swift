internal import Tensors

/// What all tensors of a file may take together: formats that share, repeat or pack data can make much of little.
struct ExpansionLimit {
  /// Bytes for each byte of the file.
  static let factor = 64
  /// Bytes in any case.
  static let freeByteCount = 1 << 30

  private let fileByteCount: Int
  private var left: Int

  init(fileByteCount: Int) {
    self.fileByteCount = fileByteCount
    left =
      CheckedSize.product(fileByteCount, ExpansionLimit.factor)
      .flatMap { CheckedSize.sum($0, ExpansionLimit.freeByteCount) } ?? .max
  }

  /// Notes a tensor. Throws ``ErrorCode/limit`` when all take too much.
  mutating func take(_ byteCount: Int) throws {
    guard byteCount <= left else {
      throw BessemerError(
        .limit, "all tensors take more than \(ExpansionLimit.factor) times the \(fileByteCount) bytes of the file")
    }
    left -= byteCount
  }
}
