internal import CKernels

/// How the bytes of a weight matrix [N,K] lie in memory, or those of any tensor in a file.
public enum WeightLayout: RawRepresentable, Sendable, Hashable {
  /// Element after element, as every tensor.
  case rowMajor
  /// Panels of 16 rows, the last one padded with zeros, that matrix kernels read as they lie: for float32 and float16
  /// `[ceil(N/16)][K][16]`, for bfloat16 `[ceil(N/16)][ceil(K/2)][16][2]`.
  case panels
  /// The rows of a float32 tensor as blocks of an encoding, which are decoded when the tensor is read.
  case blocks(BlockType)

  /// Rows of a panel.
  public static let panelRowCount = 16
  /// Beyond this many columns a matrix stays row-major: a panel could not be made in little memory.
  public static let maximumPanelColumnCount = 1 << 16

  /// The name of the layout, as bundles have it.
  public var rawValue: String {
    switch self {
    case .rowMajor: "row-major"
    case .panels: "panels"
    case .blocks(let type): type.rawValue
    }
  }

  public init?(rawValue: String) {
    switch rawValue {
    case "row-major": self = .rowMajor
    case "panels": self = .panels
    default:
      guard let type = BlockType(rawValue: rawValue) else { return nil }
      self = .blocks(type)
    }
  }

  /// The bytes that a tensor of this type and shape takes in this layout; nil when it cannot have the layout.
  public func byteCount(_ dtype: DType, shape: [Int]) -> Int? {
    switch self {
    case .rowMajor: Tensor.byteCount(dtype, shape: shape)
    case .panels: WeightLayout.panelShape(dtype, shape: shape).flatMap { Tensor.byteCount(dtype, shape: $0) }
    case .blocks(let type): dtype == .float32 ? type.byteCount(shape: shape) : nil
    }
  }

  /// The shape of the panels of a matrix, padding included; nil when a tensor of this type and shape has none.
  public static func panelShape(_ dtype: DType, shape: [Int]) -> [Int]? {
    guard shape.count == 2, shape[0] > 0, (1...maximumPanelColumnCount).contains(shape[1]), shape[0] <= 1 << 48 else {
      return nil
    }
    let panels = (shape[0] - 1) / panelRowCount + 1
    switch dtype {
    case .float32, .float16: return [panels, shape[1], panelRowCount]
    case .bfloat16: return [panels, (shape[1] + 1) / 2, panelRowCount, 2]
    default: return nil
    }
  }

  /// Packs `rowCount` rows of a row-major matrix with `columnCount` columns: a whole matrix, or a part of one that
  /// starts at a multiple of 16 rows and ends at one or at the last row. `panels` takes exactly the panels of these
  /// rows.
  public static func pack(
    _ rows: UnsafeRawBufferPointer, _ dtype: DType, rowCount: Int, columnCount: Int,
    into panels: UnsafeMutableRawBufferPointer
  ) throws {
    guard let type = BulkConversion.kernelType(dtype),
      let size = WeightLayout.panels.byteCount(dtype, shape: [rowCount, columnCount]), panels.count == size,
      Tensor.byteCount(dtype, shape: [rowCount, columnCount]) == rows.count
    else { preconditionFailure("\(rows.count) bytes are not \(rowCount) rows of \(columnCount) \(dtype)") }
    // Both buffers have exactly the sizes that the kernel reads and writes.
    let result = bk_pack(
      nil, type, panels.baseAddress, type, rows.baseAddress, columnCount, false, rowCount, columnCount)
    guard result == 0 else { throw BessemerError(.memory, "no memory to pack a weight") }
  }

  /// Unpacks all panels of a matrix of this type and shape into row-major order.
  public static func unpack(
    _ panels: UnsafeRawBufferPointer, _ dtype: DType, shape: [Int], into rows: UnsafeMutableRawBufferPointer
  ) {
    guard let size = WeightLayout.panels.byteCount(dtype, shape: shape), panels.count == size,
      Tensor.byteCount(dtype, shape: shape) == rows.count, let source = panels.baseAddress,
      let target = rows.baseAddress
    else { preconditionFailure("\(panels.count) bytes are not the panels of \(dtype)\(shape)") }
    let (n, k) = (shape[0], shape[1])
    let group = dtype == .bfloat16 ? 2 : 1
    let (width, element) = (panelRowCount * group, dtype.bits / 8)
    let depth = (k + group - 1) / group
    // Whole groups of columns, then the column that is alone in the last group; whole panels, then the last rows.
    for (first, panelCount, height) in [(0, n / 16, 16), (n / 16 * 16, n % 16 == 0 ? 0 : 1, n % 16)] {
      for (column, groupCount, used) in [(0, k / group, group), (k / group * group, k % group == 0 ? 0 : 1, k % group)]
      {
        guard panelCount > 0, groupCount > 0 else { continue }
        // Indices stay below the padded counts, from which both sizes were checked.
        copyStrided(
          elementByteCount: element, shape: [panelCount, height, groupCount, used],
          to: target + (first * k + column) * element, [16 * k, k, group, 1],
          from: source + (first / 16 * depth + column / group) * width * element, [depth * width, group, width, 1])
      }
    }
  }
}

extension Tensor {
  /// The panels of a matrix, see ``WeightLayout/panels``; nil when a tensor of this type and shape has none.
  public func packedPanels() throws -> Bytes? {
    guard let size = WeightLayout.panels.byteCount(dtype, shape: shape) else { return nil }
    return try Bytes(byteCount: size) { target in
      try bytes.withUnsafeBytes {
        try WeightLayout.pack($0, dtype, rowCount: shape[0], columnCount: shape[1], into: target)
      }
    }
  }

  /// The matrix whose panels these are. Throws ``ErrorCode/tensorLayout`` when type, shape and size do not fit.
  public init(_ dtype: DType, shape: [Int], panels: Bytes) throws {
    guard WeightLayout.panels.byteCount(dtype, shape: shape) == panels.count,
      let size = Tensor.byteCount(dtype, shape: shape)
    else {
      throw BessemerError(
        .tensorLayout, "\(panels.count) bytes are not the panels of \(TensorType(dtype, shape: shape))")
    }
    let bytes = try Bytes(byteCount: size) { target in
      panels.withUnsafeBytes { WeightLayout.unpack($0, dtype, shape: shape, into: target) }
    }
    self.init(unchecked: dtype, shape: shape, bytes: bytes)
  }
}

/// Copies an array of `shape` (at most 8 dimensions) through strides in elements; source strides may be zero or
/// negative.
///
/// Unsafe: every element that shape and strides reach must lie in memory that the pointers lead to.
package func copyStrided(
  elementByteCount: Int, shape: [Int], to target: UnsafeMutableRawPointer, _ targetStrides: [Int],
  from source: UnsafeRawPointer, _ sourceStrides: [Int]
) {
  precondition(shape.count <= 8 && shape.count == targetStrides.count && shape.count == sourceStrides.count)
  let result = bk_copy(
    nil, Int32(elementByteCount), Int32(shape.count), shape, target, targetStrides, source, sourceStrides)
  precondition(result == 0, "no copy of elements of \(elementByteCount) bytes")
}
