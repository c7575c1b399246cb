internal import IR
internal import Images
internal import Passes
public import Runtime
public import Tensors
internal import Tokenizers

/// What to make a picture of, and how.
public struct ImageRequest: Sendable {
  public var prompt: String
  /// Pixels, multiples of 32; nil for 1024, or the size of the first picture to edit.
  public var height: Int?
  public var width: Int?
  public var steps = 50
  /// How much further than no prompt the prompt is followed; up to 1 the prompt alone is.
  public var guidance = 1.5
  public var seed: UInt64 = 0
  /// The noise to start from, [1, channels, height / 8, width / 8]; nil to draw it.
  public var latents: Tensor?
  /// PNG files of pictures to edit.
  public var images: [String] = []

  public init(prompt: String) { self.prompt = prompt }
}

/// GLM-Image from its diffusers folder or bundle: a prompt becomes visual tokens, these and its glyphs become latents,
/// and these a picture.
///
/// Each component is loaded when its stage begins and released when it ends, so that no more memory is taken than for
/// the largest one.
public struct ImagePipeline {
  /// A part of the work.
  public enum Stage: String, Sendable, CaseIterable {
    case pictures, glyphs, tokens, latents, decoding
  }

  /// What was made, and the tensors on the way.
  public struct Result: Sendable {
    let image: RGBImage
    public let seconds: [(stage: Stage, seconds: Double)]
    public let byteCount: Int
    public var width: Int { image.width }
    public var height: Int { image.height }

    /// The largest and the mean difference from the picture in a PNG file, of 255.
    public func differences(from path: String) throws -> (largest: Int, mean: Double) {
      let other = try RGBImage(pngAt: path)
      guard let differences = image.differences(from: other) else {
        throw BessemerError(
          .comparison, "is \(other.width) × \(other.height) pixels, the picture \(width) × \(height)", file: path)
      }
      return differences
    }

    /// Writes the picture as PNG.
    public func write(to path: String, overwrite: Bool) throws { try image.write(pngTo: path, overwrite: overwrite) }
  }

  public let set: ModelSet
  private let options: RunOptions

  /// - Parameter fuse: whether a checkpoint's graphs are fused; a bundle's are as they were exported.
  /// - Throws: ``ErrorCode/unsupportedModel`` when the path leads to no GLM-Image.
  public init(path: String, options: RunOptions, fuse: Bool = true) throws {
    set = try ModelSet(
      path: path,
      options: ModelOptions(passes: PassOptions(fuse: fuse), resources: Resources(threads: options.threads)))
    self.options = options
    guard set.kind == .imageGeneration else {
      throw BessemerError(
        .unsupportedModel,
        "\(quoted(set.modelType)) makes no pictures; expected a folder or bundle of GlmImagePipeline", file: path)
    }
  }

  /// Says before any work what writing would say: that something stands at `output` which may not be replaced, or that
  /// it is one of the files to read.
  public static func checkOutput(_ output: String, inputs: [String], overwrite: Bool) throws {
    if let target = realPath(output), let input = inputs.first(where: { realPath($0) == target }) {
      throw BessemerError(.outputIsInput, "is the input \(quoted(input)) itself", file: output)
    }
    try Bundles.checkOutput(output, overwrite: overwrite, kind: .file)
  }

  /// Makes a picture. `progress` hears what is done of a stage, `tap` gets tensors by name as they come to be.
  public func run(
    _ request: ImageRequest, progress: @escaping (_ stage: Stage, _ done: Int, _ total: Int) -> Void = { _, _, _ in },
    tap: @escaping (_ name: String, _ tensor: Tensor) throws -> Void = { _, _ in }
  ) throws -> Result {
    try ImageRun(self, request, progress: progress, tap: tap).run()
  }

  /// Runs `body` with a component, which is released afterwards.
  func with<R>(
    _ name: String, lastPositionOnly: Bool = false, _ body: (Model) throws -> R
  ) throws -> (result: R, parameterByteCount: Int) {
    let component = try set.component(name)
    var graph = component.graph
    if lastPositionOnly { _ = try PassRunner([KeepLastPosition()]).run(on: &graph) }
    let model = Model(graph, weights: component.weights, options: options)
    defer { model.releasePages() }
    return try inFile(component.path) { (try body(model), model.parameterByteCount) }
  }

  /// The JSON of one of the small files, by its path in the folder.
  func json(_ name: String) throws -> JSON {
    guard let json = try set.files.json(name) else {
      throw BessemerError(.fileMissing, "the pipeline has no \(name)", file: set.path)
    }
    return json
  }
}
