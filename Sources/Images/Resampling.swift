internal import Glibc

/// How pixels become fewer or more.
public enum ResamplingFilter: Sendable {
  /// Cubic convolution with a = -0.5 (Keys, 1981), two pixels each way.
  case bicubic
  /// A windowed sinc, three pixels each way.
  case lanczos

  fileprivate var support: Double { self == .bicubic ? 2 : 3 }

  fileprivate func weight(_ x: Double) -> Double {
    let x = abs(x)
    switch self {
    case .bicubic:
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    case .lanczos: return x < 3 ? sinc(x) * sinc(x / 3) : 0
    }
  }

  private func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
}

extension RGBImage {
  /// The picture in another size: rows first, then columns, each rounded to 8 bits, the filter widened by the factor
  /// when pixels become fewer.
  ///
  /// Gives what Pillow's `resize` gives: weights are whole numbers of 22 fractional bits. torchvision's antialiased
  /// `resize` of bytes has weights of 15 bits, and differs by one in one of ten thousand values.
  public func resized(width: Int, height: Int, filter: ResamplingFilter) throws -> RGBImage {
    // Says so before anything is allocated when the result is too large.
    guard width > 0, height > 0, width <= RGBImage.maximumPixelCount / height else {
      return try RGBImage(width: width, height: height, pixels: [])
    }
    var result = self
    if width != self.width {
      let taps = Taps(from: self.width, to: width, filter)
      result = try RGBImage(
        width: width, height: self.height,
        pixels: taps.applied(to: pixels, lines: self.height, apart: 3 * self.width, between: 3, size: 3))
    }
    if height != self.height {
      let taps = Taps(from: self.height, to: height, filter)
      result = try RGBImage(
        width: width, height: height,
        pixels: taps.applied(to: result.pixels, lines: 1, apart: 0, between: 3 * width, size: 3 * width))
    }
    return result
  }
}

/// The old pixels that each new one is made of, along one axis.
private struct Taps {
  private static let bits = 22

  private var starts: [Int] = []
  private var weights: [[Int32]] = []

  init(from old: Int, to new: Int, _ filter: ResamplingFilter) {
    let scale = Double(old) / Double(new)
    let stretch = max(scale, 1)
    let support = filter.support * stretch
    for k in 0..<new {
      let centre = (Double(k) + 0.5) * scale
      let start = max(Int(centre - support + 0.5), 0)
      let end = min(Int(centre + support + 0.5), old)
      let factor = 1 / stretch
      let raw = (start..<end).map { filter.weight((Double($0) - centre + 0.5) * factor) }
      let sum = raw.reduce(0, +)
      starts.append(start)
      weights.append(
        raw.map { value in
          let scaled = (sum == 0 ? value : value * (1 / sum)) * Double(1 << Taps.bits)
          return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
        })
    }
  }

  /// New lines of values: neighbours along the axis are `between` values from each other, and each is `size` values.
  func applied(to old: [UInt8], lines: Int, apart: Int, between: Int, size: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: lines * starts.count * size) { new, count in
      count = lines * starts.count * size
      old.withUnsafeBufferPointer { old in
        for line in 0..<lines {
          for (k, (start, weights)) in zip(starts, weights).enumerated() {
            let target = (line * starts.count + k) * size
            for value in 0..<size {
              var sum = Int32(1) << (Taps.bits - 1)
              var place = line * apart + start * between + value
              for weight in weights {
                // At most 255 · 2^22 · the sum of absolute weights, which is below 2.
                sum &+= Int32(old[place]) &* weight
                place += between
              }
              new[target + value] = UInt8(clamping: sum >> Taps.bits)
            }
          }
        }
      }
    }
  }
}
