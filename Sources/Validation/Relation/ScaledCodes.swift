import Tensors

/// Codes of 4 or 8 bits with scales, and maybe offsets, in tensors beside them.
struct ScaledCodes {
  /// How the scales of a matrix `[rows, columns]` go with its elements.
  enum Grid: Hashable {
    case tensor, rows, columns
    /// `[rows, columns / n]`
    case rowGroups(Int)
    /// `[rows / n, columns]`
    case columnGroups(Int)

    /// The grids that so many scales may mean.
    static func all(_ count: Int, rows: Int, columns: Int) -> [Grid] {
      var grids: [Grid] = []
      if count == 1 { return [.tensor] }
      if count == rows { grids.append(.rows) }
      if count == columns { grids.append(.columns) }
      if count > rows, count % rows == 0, columns % (count / rows) == 0 {
        grids.append(.rowGroups(columns / (count / rows)))
      }
      if count > columns, count % columns == 0, rows % (count / columns) == 0 {
        grids.append(.columnGroups(rows / (count / columns)))
      }
      return grids
    }

    var words: String {
      switch self {
      case .tensor: "one scale"
      case .rows: "a scale for each row"
      case .columns: "a scale for each column"
      case .rowGroups(let size): "a scale for each \(size) columns of a row"
      case .columnGroups(let size): "a scale for each \(size) rows of a column"
      }
    }

    func place(_ row: Int, _ column: Int, columns: Int) -> Int {
      switch self {
      case .tensor: 0
      case .rows: row
      case .columns: column
      case .rowGroups(let size): row * (columns / size) + column / size
      case .columnGroups(let size): row / size * columns + column
      }
    }
  }

  /// What becomes of a code beside the scale.
  enum Offset: Hashable {
    case none
    /// `(code - offset) * scale`
    case before
    /// `code * scale + offset`
    case after
  }

  let dtype: DType
  let columns: Int
  let grid: Grid
  let scales: [Double]
  let offset: Offset
  let offsets: [Double]
  /// The part of a scale that its own type may have rounded off.
  let scalePrecision: Double

  /// The codes' least and greatest value; short floats have no steps of one size.
  private var range: (Double, Double) {
    if let range = dtype.integerRange { return (Double(range.least), Double(range.greatest)) }
    let finite = ((try? Tensor(dtype, shape: [256], bytes: Bytes((0..<256).map { UInt8($0) })))?.doubles ?? []).filter(
      \.isFinite)
    return (finite.min() ?? 0, finite.max() ?? 0)
  }

  /// The values of codes from element `first` on.
  func decode(_ codes: [Double], from first: Int) -> DecodedCodes {
    var result = DecodedCodes(values: [])
    result.values.reserveCapacity(codes.count)
    let (low, high) = range
    let isFloat = dtype.isFloat
    var (row, column) = first.quotientAndRemainder(dividingBy: columns)
    for code in codes {
      let place = grid.place(row, column, columns: columns)
      let scale = scales[place]
      let shift = offset == .none ? 0 : offsets[place]
      func value(_ code: Double) -> Double {
        switch offset {
        case .none: code * scale
        case .before: (code - shift) * scale
        case .after: code * scale + shift
        }
      }
      let (a, b) = (value(low), value(high))
      result.values.append(value(code))
      result.steps.append(abs(scale) * (isFloat ? ScaledCodes.spacing(dtype, code) : 1))
      result.least.append(min(a, b))
      result.greatest.append(max(a, b))
      result.slack.append(max(abs(code * scale), offset == .before ? abs(shift * scale) : abs(shift)) * scalePrecision)
      column += 1
      if column == columns { (row, column) = (row + 1, 0) }
    }
    return result
  }

  /// The distance to the next value of a short float.
  private static func spacing(_ dtype: DType, _ code: Double) -> Double {
    let (fraction, least) =
      switch dtype {
      case .float8e5m2: (2, -14)
      case .float8e4m3fnuz: (3, -7)
      case .float8e5m2fnuz: (2, -15)
      default: (3, -6)
      }
    let exponent = code == 0 ? least : max(Int(code.magnitude.exponent), least)
    return Double(sign: .plus, exponent: exponent - fraction, significand: 1)
  }
}
