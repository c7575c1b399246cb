public import Images
internal import IR
public import Tensors

/// Pictures as latents and back: what GLM-Image's pipeline puts around its autoencoder.
///
/// Source: `pipeline_glm_image.py` of diffusers.
public struct LatentCodec: Sendable {
  /// Of each latent channel; the transformer sees latents with the mean taken off, divided by the deviation.
  public let mean: [Float]
  public let deviation: [Float]
  /// Pixels of a latent, each way.
  public let scale: Int

  public var channels: Int { mean.count }

  /// Reads the config.json of the `vae`.
  public init(config: JSON) throws {
    func numbers(_ key: String) throws -> [Float] {
      try config.required(key).asArray().map { Float(try $0.asDouble()) }
    }
    (mean, deviation) = (try numbers("latents_mean"), try numbers("latents_std"))
    let levels = try config.required("block_out_channels").count
    guard !mean.isEmpty, mean.count == deviation.count, (1...16).contains(levels),
      deviation.allSatisfy({ $0 > 0 && $0.isFinite }), mean.allSatisfy(\.isFinite)
    else {
      throw BessemerError(.config, "latents_mean and latents_std do not go together, or are no means and deviations")
    }
    scale = 1 << (levels - 1)
  }

  /// The most likely latents of a picture, [1, channels, height / scale, width / scale].
  public func encode(_ image: RGBImage, _ encoder: Session) throws -> Tensor {
    let plane = image.width * image.height
    var values = [Float](repeating: 0, count: 3 * plane)
    for k in 0..<plane {
      for channel in 0..<3 { values[channel * plane + k] = 2 * (Float(image.pixels[3 * k + channel]) / 255) - 1 }
    }
    let outputs = try encoder.run(
      ["sample": Tensor(values, shape: [1, 3, image.height, image.width])], outputs: ["mean"])
    guard let latents = outputs["mean"], latents.rank == 4, latents.shape[1] == channels else {
      throw BessemerError(.modelInput, "the model does not encode pictures to \(channels) channels")
    }
    return perChannel(latents) { ($0 - mean[$1]) / deviation[$1] }
  }

  /// What the decoder gives for latents, [1, 3, height, width], about -1 to 1.
  public func decode(_ latents: Tensor, _ decoder: Session) throws -> Tensor {
    let scaled = perChannel(latents) { $0 * deviation[$1] + mean[$1] }
    let outputs = try decoder.run(["latents": scaled], outputs: ["sample"])
    guard let sample = outputs["sample"], sample.rank == 4, sample.shape[1] == 3 else {
      throw BessemerError(.modelInput, "the model does not decode pictures of three colors")
    }
    return sample
  }

  /// The picture that a decoder's output [1, 3, height, width] stands for: -1 is 0 and 1 is 255.
  public static func image(of sample: Tensor) throws -> RGBImage {
    let (height, width) = (sample.shape[2], sample.shape[3])
    let (values, plane) = (sample.floats, height * width)
    var pixels = [UInt8](repeating: 0, count: 3 * plane)
    for k in 0..<plane {
      for channel in 0..<3 {
        let value = values[channel * plane + k] / 2 + 0.5
        // What is no number is black.
        pixels[3 * k + channel] = UInt8((value > 0 ? min(value, 1) * 255 : 0).rounded(.toNearestOrEven))
      }
    }
    return try RGBImage(width: width, height: height, pixels: pixels)
  }

  private func perChannel(_ tensor: Tensor, _ body: (Float, Int) -> Float) -> Tensor {
    let plane = tensor.shape[2] * tensor.shape[3]
    let values = tensor.floats.enumerated().map { body($1, $0 / plane % channels) }
    return Tensor(values, shape: tensor.shape)
  }
}
