import IR
import Tensors

/// A weight on its way into a bundle: its bytes in the layout that is stored, made in pieces of equal size.
struct StoredTensor: Sendable {
  let name: TensorName
  let dtype: DType
  let shape: [Int]
  let layout: WeightLayout
  let value: ValueID
  let reader: ParameterReader
  /// The bytes that the layout takes.
  let byteCount: Int
  /// The bytes of every piece but the last, which may be shorter: a whole number of panels or of elements.
  let pieceByteCount: Int
  /// Rows of a piece of panels.
  private let pieceRowCount: Int

  /// What pieces are meant to take; a single panel may take up to four times as much.
  static let wantedPieceByteCount = 1 << 20

  init(_ tensor: StoredGraph.Tensor, reader: ParameterReader) throws {
    guard let size = tensor.layout.byteCount(tensor.dtype, shape: tensor.shape) else {
      throw BessemerError(
        .limit,
        "weight \(quoted(tensor.name.string)) of \(tensor.dtype)\(tensor.shape) does not fit into bytes")
    }
    name = tensor.name
    dtype = tensor.dtype
    shape = tensor.shape
    layout = tensor.layout
    value = tensor.value
    self.reader = reader
    byteCount = size
    if layout == .panels, let panels = WeightLayout.panelShape(dtype, shape: shape) {
      let panel = size / panels[0]
      let count = max(1, StoredTensor.wantedPieceByteCount / panel)
      pieceByteCount = panel * count
      pieceRowCount = count * WeightLayout.panelRowCount
    } else {
      pieceByteCount = dtype.bits * (StoredTensor.wantedPieceByteCount / 16)
      pieceRowCount = 0
    }
  }

  var pieceCount: Int { (byteCount + pieceByteCount - 1) / pieceByteCount }

  /// The bytes of a piece.
  func byteCount(ofPiece index: Int) -> Int { min(pieceByteCount, byteCount - index * pieceByteCount) }

  /// Bytes that stand somewhere as they are to be stored; nil when they must be made.
  func existing() throws -> Bytes? { layout == .panels ? try reader.packed(value) : try reader.window(value) }

  /// Makes a piece; `target` has exactly its size, `scratch` is at least as large as the pieces of the tensor.
  func write(
    piece index: Int, to target: UnsafeMutableRawBufferPointer, scratch: UnsafeMutableRawBufferPointer,
    losses: inout CastLosses
  ) throws {
    guard layout == .panels else {
      let first = index * pieceByteCount * 8 / dtype.bits
      try reader.write(value, elements: first..<(first + target.count * 8 / dtype.bits), into: target, losses: &losses)
      return
    }
    let (first, columns) = (index * pieceRowCount, shape[1])
    let rowCount = min(pieceRowCount, shape[0] - first)
    let rows = UnsafeMutableRawBufferPointer(rebasing: scratch[..<(rowCount * columns * dtype.bits / 8)])
    try reader.write(
      value, elements: (first * columns)..<((first + rowCount) * columns), into: rows, losses: &losses)
    try WeightLayout.pack(UnsafeRawBufferPointer(rows), dtype, rowCount: rowCount, columnCount: columns, into: target)
  }
}
