public import Tensors

/// A weight [rows, columns] that another program quantized, decoded where it is read.
public protocol ForeignWeight: Sendable {
  /// The type of its values, which decoding rounds to.
  var dtype: DType { get }
  var rows: Int { get }
  var columns: Int { get }

  /// The values of some rows, each a number of ``dtype``. Throws ``ErrorCode/weights`` for codes that cannot be.
  func values(_ rows: Range<Int>) throws -> [Float]
  /// Whether the scheme's codes for these values are those that are stored already, so that nothing is rounded twice.
  func agrees(with scheme: any LinearScheme) throws -> Bool
  /// The codes and scales of some rows, where ``agrees(with:)``.
  func codes(_ rows: Range<Int>) throws -> StoredCodes
}

/// Codes a scheme does not have to find.
public struct StoredCodes: Sendable {
  /// A code a byte, [rows, columns]: signed whole numbers, or bits of floats.
  public let codes: [UInt8]
  /// [rows, groups], also of the offsets; w = scale * (code - offset).
  public let scales: [Float]
  public let offsets: [Float]

  /// Those of some rows of a weight that has so many.
  public func rows(_ range: Range<Int>, of count: Int) -> StoredCodes {
    guard range.count < count else { return self }
    func part<Element>(_ values: [Element]) -> [Element] {
      let width = values.count / count
      return Array(values[range.lowerBound * width..<range.upperBound * width])
    }
    return StoredCodes(codes: part(codes), scales: part(scales), offsets: part(offsets))
  }
}

/// The bytes of such a weight as a tensor of a checkpoint.
public struct DecodedWeight: LazyBytes {
  public let weight: any ForeignWeight

  public init(_ weight: any ForeignWeight) { self.weight = weight }

  public var count: Int { weight.rows * weight.columns * weight.dtype.bits / 8 }

  public func forEachPiece(_ range: Range<Int>, _ body: (Bytes) throws -> Void) throws {
    let row = weight.columns * weight.dtype.bits / 8
    guard row > 0, !range.isEmpty else { return }
    let step = max(1, (1 << 18) / weight.columns)
    let rows = (range.lowerBound / row)..<((range.upperBound - 1) / row + 1)
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
      let part = first..<min(first + step, rows.upperBound)
      let bytes = try encoded(part)
      let cut = range.clamped(to: (part.lowerBound * row)..<(part.upperBound * row))
      try body(bytes[(cut.lowerBound - part.lowerBound * row)..<(cut.upperBound - part.lowerBound * row)])
    }
  }

  private func encoded(_ rows: Range<Int>) throws -> Bytes {
    let values = try weight.values(rows)
    switch weight.dtype {
    case .bfloat16:
      return values.map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) }.withUnsafeBytes { Bytes($0) }
    case .float16: return values.map { Float16($0) }.withUnsafeBytes { Bytes($0) }
    default: return values.withUnsafeBytes { Bytes($0) }
    }
  }
}

extension TensorStore.Entry {
  /// The weight of another program that the tensor is decoded from; nil for one that is stored as it is.
  public var foreign: (any ForeignWeight)? { (lazy as? DecodedWeight)?.weight }
}
