internal import Tensors

/// A picture of 8-bit red, green and blue, row by row from the top.
public struct RGBImage: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// [height, width, 3]
  public let pixels: [UInt8]

  /// Pixels of one picture.
  public static let maximumPixelCount = 1 << 28

  /// - Throws: ``ErrorCode/modelInput`` when the picture is empty or too large, or the pixels are not as many as it
  ///   says.
  public init(width: Int, height: Int, pixels: [UInt8]) throws {
    let (count, overflow) = width.multipliedReportingOverflow(by: height)
    guard width > 0, height > 0, !overflow, count <= RGBImage.maximumPixelCount else {
      throw BessemerError(.modelInput, "a picture of \(width) × \(height) pixels is empty or too large")
    }
    guard pixels.count == 3 * count else {
      throw BessemerError(.modelInput, "a picture of \(width) × \(height) does not have \(pixels.count) values")
    }
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// The largest and the mean difference of two pictures' values, of 255; nil when their sizes differ.
  public func differences(from other: RGBImage) -> (largest: Int, mean: Double)? {
    guard width == other.width, height == other.height else { return nil }
    var (largest, sum) = (0, 0)
    for (a, b) in zip(pixels, other.pixels) {
      let difference = abs(Int(a) - Int(b))
      largest = max(largest, difference)
      sum += difference
    }
    return (largest, Double(sum) / Double(pixels.count))
  }
}
