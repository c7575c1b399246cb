public import Images
public import Tensors

/// Turns pictures into what GLM-Image's vision tower reads.
///
/// Source: `image_processing_glm_image.py` of transformers.
public struct GlmImageProcessor: Sendable {
  public var patchSize: Int
  /// The shorter side is enlarged to this many pixels.
  public var shortestSide: Int
  /// The longer side is reduced to this many pixels, before both are halved.
  public var longestSide: Int
  /// What is taken from each channel of 0…1, and what it is divided by.
  public var mean: [Double]
  public var deviation: [Double]

  /// Reads `processor_config.json`, or the older `preprocessor_config.json`.
  ///
  /// Throws ``ErrorCode/config`` for values that cannot be and ``ErrorCode/unsupportedFeature`` for steps other than
  /// GLM-Image's.
  public init(json: JSON) throws {
    let json = try json.optional("image_processor") ?? json
    func integer(_ key: String, _ standard: Int) throws -> Int {
      try json.optional(key)?.asInt(in: 1...1 << 32) ?? standard
    }
    func numbers(_ key: String, _ standard: [Double]) throws -> [Double] {
      let values = try json.optional(key)?.asArray().map { try $0.asDouble() } ?? standard
      guard values.count == 3 else { throw BessemerError(.config, "\(key) has \(values.count) numbers, expected 3") }
      return values
    }
    patchSize = try integer("patch_size", 14)
    guard patchSize <= 1024 else { throw BessemerError(.config, "patch_size is \(patchSize), expected at most 1024") }
    for (key, standard) in [("temporal_patch_size", 2), ("merge_size", 2)] {
      let value = try integer(key, standard)
      guard value == 1 else { throw BessemerError(.unsupportedFeature, "\(key) \(value) is not supported") }
    }
    for key in ["do_resize", "do_rescale", "do_normalize"] where try json.optional(key)?.asBool() == false {
      throw BessemerError(.unsupportedFeature, "pictures without \(key) are not supported")
    }
    if let resample = try json.optional("resample")?.asInt(), resample != 3 {
      throw BessemerError(.unsupportedFeature, "resample \(resample) is not supported, expected 3, bicubic")
    }
    let factor = try json.optional("rescale_factor")?.asDouble() ?? 1.0 / 255
    guard abs(factor * 255 - 1) < 1e-6 else {
      throw BessemerError(.unsupportedFeature, "rescale_factor \(factor) is not supported, expected 1/255")
    }
    mean = try numbers("image_mean", [0.48145466, 0.4578275, 0.40821073])
    deviation = try numbers("image_std", [0.26862954, 0.26130258, 0.27577711])
    guard deviation.allSatisfy({ $0 > 0 }) else {
      throw BessemerError(.config, "image_std is \(deviation), expected positive numbers")
    }
    // Areas, despite their names; `min_pixels` and `max_pixels` win where an older file has them.
    let size = try json.optional("size")
    func side(_ edge: String, _ pixels: String, _ standard: Int) throws -> Int {
      let area = try json.optional(pixels) ?? size?.optional(edge)
      return Int(Double(try area?.asInt(in: 1...1 << 32) ?? standard).squareRoot().rounded(.toNearestOrEven))
    }
    shortestSide = try side("shortest_edge", "min_pixels", 56 * 56)
    longestSide = try side("longest_edge", "max_pixels", 28 * 28 * 1280)
  }

  /// The size in which a picture is read: about half its own, in whole patches.
  ///
  /// - Throws: ``ErrorCode/modelInput`` for a picture that is smaller than a patch, or over four times as long as wide.
  public func size(height: Int, width: Int) throws -> (height: Int, width: Int) {
    let (short, long) = (min(height, width), max(height, width))
    guard short >= patchSize else {
      throw BessemerError(.modelInput, "a picture of \(width) × \(height) is smaller than a patch of \(patchSize)")
    }
    guard long <= 4 * short else {
      throw BessemerError(
        .modelInput, "a picture of \(width) × \(height) is more than four times as long as wide")
    }
    var scale = 1.0
    if short < shortestSide { scale = Double(shortestSide) / Double(short) }
    if Double(long) * scale > Double(longestSide) { scale = Double(longestSide) / Double(long) }
    let patch = Double(patchSize)
    func patches(_ side: Double, _ rule: FloatingPointRoundingRule) -> Int {
      max(patchSize, Int((side / patch).rounded(rule)) * patchSize)
    }
    // As the reference computes it: a half is rounded to the even number.
    var result = (
      height: patches(Double(height / 2) * scale, .toNearestOrEven),
      width: patches(Double(width / 2) * scale, .toNearestOrEven)
    )
    let most = max(result.height, result.width)
    if most > longestSide {
      let excess = Double(most) / Double(longestSide)
      result = (patches(Double(result.height) / excess, .down), patches(Double(result.width) / excess, .down))
    }
    return result
  }

  /// The picture's patches, [1, rows, columns, 3 · patch²] float32, each channel by channel.
  public func pixelValues(of image: RGBImage) throws -> Tensor {
    let size = try size(height: image.height, width: image.width)
    let image = try image.resized(width: size.width, height: size.height, filter: .bicubic)
    let (rows, columns) = (size.height / patchSize, size.width / patchSize)
    let tables = (0..<3).map { channel in
      (0..<256).map { Float((Double($0) / 255 - mean[channel]) / deviation[channel]) }
    }
    var values: [Float] = []
    values.reserveCapacity(3 * size.height * size.width)
    for row in 0..<rows {
      for column in 0..<columns {
        for channel in 0..<3 {
          for y in row * patchSize..<(row + 1) * patchSize {
            let line = (y * size.width + column * patchSize) * 3 + channel
            for x in 0..<patchSize { values.append(tables[channel][Int(image.pixels[line + 3 * x])]) }
          }
        }
      }
    }
    return Tensor(values, shape: [1, rows, columns, 3 * patchSize * patchSize])
  }
}
