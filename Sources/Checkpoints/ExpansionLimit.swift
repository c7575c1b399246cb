internal import Tensors

/// What all tensors of a file may take together: formats that share, repeat or pack data can make much of little.
struct ExpansionLimit {
  /// Bytes for each byte of the file.
  static let factor = 64
  /// Bytes in any case.
  static let freeByteCount = 1 << 30

  private var fileByteCount: Int
  private var taken = 0

  init(fileByteCount: Int) { self.fileByteCount = fileByteCount }

  /// Notes another file of the same model.
  mutating func add(fileByteCount: Int) {
    self.fileByteCount = CheckedSize.sum(self.fileByteCount, fileByteCount) ?? .max
  }

  /// Notes a tensor. Throws ``ErrorCode/limit`` when all take too much.
  mutating func take(_ byteCount: Int) throws {
    let total = CheckedSize.product(fileByteCount, ExpansionLimit.factor) ?? .max
    guard let sum = CheckedSize.sum(taken, byteCount), sum - min(sum, ExpansionLimit.freeByteCount) <= total else {
      throw BessemerError(
        .limit, "all tensors take more than \(ExpansionLimit.factor) times the \(fileByteCount) bytes of the file")
    }
    taken = sum
  }
}
