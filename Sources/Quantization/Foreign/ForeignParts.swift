internal import Tensors

/// How another program stores quantized weights: a file of this folder, and a line in ``ForeignCheckpoint``.
protocol ForeignFormat: Sendable {
  /// The end of the name of the tensor that marks such a weight.
  var suffix: String { get }
  /// Those of the tensors that go with it.
  var companions: [String] { get }
  /// The weight that these tensors are, by their types and shapes. Throws ``ErrorCode/tensorLayout`` for ones that do
  /// not fit.
  func weight(_ parts: ForeignParts) throws -> any ForeignWeight
}

/// The tensors of a layer.
struct ForeignParts {
  let module: String
  let store: TensorStore

  subscript(suffix: String) -> TensorStore.Entry? { store[TensorName("\(module).\(suffix)")] }

  func entry(_ suffix: String) throws -> TensorStore.Entry {
    guard let entry = self[suffix] else {
      throw BessemerError(.weights, "layer \(quoted(module)) lacks its tensor \(suffix)")
    }
    // Without empty dimensions, each is bounded by the file.
    guard entry.shape.allSatisfy({ $0 > 0 }) else { throw misfit("\(suffix) \(entry.type)") }
    return entry
  }

  func matrix(_ suffix: String) throws -> TensorStore.Entry {
    let entry = try entry(suffix)
    guard entry.shape.count == 2 else { throw misfit("\(suffix) \(entry.type)") }
    return entry
  }

  func misfit(_ what: String) -> BessemerError {
    BessemerError(.tensorLayout, "layer \(quoted(module)): \(what) do not fit together")
  }

  /// The group of each column, below `count`.
  func groups(_ entry: TensorStore.Entry, count: Int) throws -> [Int32] {
    let indices = try entry.tensor().doubles
    guard indices.allSatisfy({ $0 >= 0 && $0 < Double(count) }) else {
      throw BessemerError(.weights, "a group of layer \(quoted(module)) is not among its \(count)")
    }
    return indices.map { Int32($0) }
  }
}

/// A part of a matrix of 32-bit words.
struct WordBlock {
  private let values: [UInt32]
  private let rows: Range<Int>
  private let columns: Range<Int>

  /// The part must lie in the matrix.
  init(_ entry: TensorStore.Entry, rows: Range<Int>, columns: Range<Int>) throws {
    (self.rows, self.columns) = (rows, columns)
    let width = entry.shape[1]
    let bytes = try entry.tensor().bytes
    precondition(rows.upperBound <= entry.shape[0] && columns.upperBound <= width && bytes.count == entry.byteCount)
    values = bytes.withUnsafeBytes { raw in
      var values: [UInt32] = []
      values.reserveCapacity(rows.count * columns.count)
      for row in rows {
        for column in columns {
          let word = raw.loadUnaligned(fromByteOffset: 4 * (row * width + column), as: UInt32.self)
          values.append(UInt32(littleEndian: word))
        }
      }
      return values
    }
    // Where other parts share the pages, the last one gives them back.
    if columns.count == width {
      bytes[(4 * rows.lowerBound * width)..<(4 * rows.upperBound * width)].releasePages()
    } else if columns.upperBound == width {
      bytes.releasePages()
    }
  }

  /// All of it.
  init(_ entry: TensorStore.Entry) throws {
    try self.init(entry, rows: 0..<entry.shape[0], columns: 0..<entry.shape[1])
  }

  subscript(row: Int, column: Int) -> UInt32 {
    values[(row - rows.lowerBound) * columns.count + column - columns.lowerBound]
  }
}

/// The bytes of a tensor, in any order.
struct Codes {
  private let bytes: Bytes

  init(_ entry: TensorStore.Entry) throws { bytes = try entry.tensor().bytes }

  func rows(_ rows: Range<Int>, of columns: Int) -> [UInt8] {
    let part = bytes[(rows.lowerBound * columns)..<(rows.upperBound * columns)]
    defer { part.releasePages() }
    return part.array
  }
}

/// The numbers of a tensor of scales, in any order.
struct FloatTable {
  private let bytes: Bytes
  private let dtype: DType

  static let dtypes = LinearWeight.dtypes + [.float8e8m0]

  /// Throws ``ErrorCode/unsupportedType`` for a type that is none of ``dtypes``.
  init(_ entry: TensorStore.Entry) throws {
    guard FloatTable.dtypes.contains(entry.dtype) else {
      throw BessemerError(.unsupportedType, "scales are \(entry.type), expected float32 or a type of 16 bits")
    }
    bytes = try entry.tensor().bytes
    dtype = entry.dtype
  }

  /// Traps beyond the tensor.
  subscript(index: Int) -> Float {
    bytes.withUnsafeBytes { raw in
      let size = dtype.bits / 8
      precondition(index >= 0 && index < raw.count / size, "a scale beyond the tensor")
      func load<T: FixedWidthInteger>(_: T.Type) -> T {
        T(littleEndian: raw.loadUnaligned(fromByteOffset: index * size, as: T.self))
      }
      return switch dtype {
      case .float32: Float(bitPattern: load(UInt32.self))
      case .bfloat16: Float(bitPattern: UInt32(load(UInt16.self)) << 16)
      case .float16: Float(Float16(bitPattern: load(UInt16.self)))
      default:
        load(UInt8.self) == 255 ? .nan : Float(sign: .plus, exponent: Int(load(UInt8.self)) - 127, significand: 1)
      }
    }
  }
}
