public import Tensors

/// Finds the grid of a layer's input from what calibration data makes of it, see ``W8A8``.
public protocol InputObserver: Sendable {
  /// Takes in one more tensor. Throws ``ErrorCode/modelInput`` when it holds NaN or infinity.
  mutating func observe(_ input: Tensor) throws
  /// What follows from all that was observed; nil before the first element.
  var grid: InputGrid? { get }
  /// What is left of a tensor on the grid.
  func roundTrip(_ input: Tensor) throws -> Tensor
}

extension InputObserver {
  public func roundTrip(_ input: Tensor) throws -> Tensor { try grid?.roundTrip(input) ?? input }
}

/// How an ``InputObserver`` finds a range.
public enum InputRange: Sendable, Equatable {
  /// From the least to the greatest value of all.
  case minmax
  /// The means of the least and greatest values of the tensors.
  case meanMinmax
  /// The range, found on a histogram, whose 256 steps make the least squared error.
  case histogram
  /// The range that leaves out this share of the values, half on each side.
  case percentile(Double)

  /// An observer of one input.
  public func observer(isSymmetric: Bool, isV0: Bool = false) -> any InputObserver {
    switch self {
    case .minmax: MinMaxObserver(isSymmetric: isSymmetric, isMean: false, isV0: isV0)
    case .meanMinmax: MinMaxObserver(isSymmetric: isSymmetric, isMean: true, isV0: isV0)
    case .histogram: HistogramObserver(isSymmetric: isSymmetric, isV0: isV0)
    case .percentile(let share): PercentileObserver(share: share, isSymmetric: isSymmetric)
    }
  }
}

extension InputGrid {
  /// The grid of 8 bits over a range, which is widened to hold zero. Each operation is rounded to `dtype`, that of the
  /// observed tensors, as msModelSlim does.
  ///
  /// - Parameter isV0: whether the bounds are subtracted before they are divided, as for recipes of `modelslim_v0`.
  public init(least: Float, greatest: Float, isSymmetric: Bool, dtype: DType, isV0: Bool = false) {
    func round(_ value: Float) -> Float { WeightCodes.round(value, to: dtype) }
    let (low, high) = (min(least, 0), max(greatest, 0))
    if isSymmetric {
      self.init(scale: max(round(max(-low, high) / 127), round(Float.ulpOfOne)), offset: 0)
    } else {
      let width = isV0 ? round(round(high - low) / 255) : round(round(high / 255) - round(low / 255))
      let scale = max(width, round(Float.ulpOfOne))
      self.init(scale: scale, offset: round(round(-low / scale).rounded(.toNearestOrEven) - 128))
    }
  }

  /// What is left of a tensor after it was put on the grid, each operation rounded to the tensor's type.
  public func roundTrip(_ input: Tensor) throws -> Tensor {
    let dtype = isWide ? .float32 : input.dtype
    var values = input.floats
    guard dtype != .float32 else {
      // Whole numbers below 2^22 are what is left of a float after this is added and taken off.
      let whole: Float = 0x1.8p23
      for index in values.indices {
        let place = min(max(values[index] / scale + offset, -128), 127)
        values[index] = ((place + whole) - whole - offset) * scale
      }
      return try Tensor(values, shape: input.shape).cast(to: input.dtype)
    }
    func round(_ value: Float) -> Float { WeightCodes.round(value, to: dtype) }
    for index in values.indices {
      let code = round(round(values[index] / scale) + offset).rounded(.toNearestOrEven)
      values[index] = round(round(min(max(code, -128), 127) - offset) * scale)
    }
    return try Tensor(values, shape: input.shape).cast(to: input.dtype)
  }
}

/// The least and greatest values of a tensor. Throws ``ErrorCode/modelInput`` when it holds NaN or infinity.
public func range(of values: [Float]) throws -> (least: Float, greatest: Float)? {
  guard let first = values.first else { return nil }
  typealias Lanes = SIMD16<Float>
  let whole = values.count / Lanes.scalarCount * Lanes.scalarCount
  var (low, high, sums) = (Lanes(repeating: first), Lanes(repeating: first), Lanes.zero)
  values.withUnsafeBytes { bytes in
    for start in stride(from: 0, to: 4 * whole, by: 4 * Lanes.scalarCount) {
      let lanes = bytes.loadUnaligned(fromByteOffset: start, as: Lanes.self)
      low.replace(with: lanes, where: lanes .< low)
      high.replace(with: lanes, where: lanes .> high)
      sums += lanes * 0
    }
  }
  var (least, greatest, sum) = (low.min(), high.max(), sums.sum())
  for value in values[whole...] {
    least = min(least, value)
    greatest = max(greatest, value)
    sum += value * 0
  }
  guard sum == 0 else {
    throw BessemerError(.modelInput, "the calibration data leads to NaN or infinity inside the model")
  }
  return (least, greatest)
}

/// ``InputRange/minmax`` and ``InputRange/meanMinmax``.
struct MinMaxObserver: InputObserver {
  let isSymmetric: Bool
  let isMean: Bool
  let isV0: Bool
  private var dtype = DType.float32
  private var count = 0
  private var (least, greatest) = (0.0, 0.0)

  init(isSymmetric: Bool, isMean: Bool, isV0: Bool) {
    self.isSymmetric = isSymmetric
    self.isMean = isMean
    self.isV0 = isV0
  }

  mutating func observe(_ input: Tensor) throws {
    guard let (low, high) = try range(of: input.floats) else { return }
    dtype = input.dtype
    count += 1
    if isMean {
      least += Double(low)
      greatest += Double(high)
    } else {
      least = count == 1 ? Double(low) : min(least, Double(low))
      greatest = count == 1 ? Double(high) : max(greatest, Double(high))
    }
  }

  var grid: InputGrid? {
    guard count > 0 else { return nil }
    let share = isMean ? Double(count) : 1
    return InputGrid(
      least: WeightCodes.round(Float(least / share), to: dtype),
      greatest: WeightCodes.round(Float(greatest / share), to: dtype), isSymmetric: isSymmetric, dtype: dtype,
      isV0: isV0)
  }
}

/// ``InputRange/percentile(_:)``. Values are counted in steps of at most a 64th of their size, so that memory does not
/// depend on the data, and the range is found to within a step.
struct PercentileObserver: InputObserver {
  let share: Double
  let isSymmetric: Bool
  private var dtype = DType.float32
  private var total = 0
  /// By ``step(of:)``: how many values, negative ones by magnitude first.
  private var negative = [Int](repeating: 0, count: PercentileObserver.stepCount)
  private var positive = [Int](repeating: 0, count: PercentileObserver.stepCount)

  /// 256 exponents of 64 steps each.
  private static let stepCount = 256 * 64

  init(share: Double, isSymmetric: Bool) {
    self.share = share
    self.isSymmetric = isSymmetric
  }

  private static func step(of magnitude: Float) -> Int { Int(magnitude.bitPattern >> 17) }
  /// The greatest magnitude of a step.
  private static func magnitude(_ step: Int) -> Float { Float(bitPattern: UInt32(step) << 17 | 0x1FFFF) }

  mutating func observe(_ input: Tensor) throws {
    let values = input.floats
    guard try range(of: values) != nil else { return }
    dtype = input.dtype
    total += values.count
    for value in values {
      if value < 0 {
        negative[PercentileObserver.step(of: -value)] += 1
      } else {
        positive[PercentileObserver.step(of: value)] += 1
      }
    }
  }

  var grid: InputGrid? {
    guard total > 0 else { return nil }
    let left = Int((Double(total) * share / 2).rounded(.down))
    func bound(_ counts: [Int]) -> Float {
      var rest = left
      for step in counts.indices.reversed() where counts[step] > 0 {
        if counts[step] > rest { return PercentileObserver.magnitude(step) }
        rest -= counts[step]
      }
      return 0
    }
    return InputGrid(
      least: WeightCodes.round(-bound(negative), to: dtype),
      greatest: WeightCodes.round(bound(positive), to: dtype), isSymmetric: isSymmetric, dtype: dtype)
  }
}
