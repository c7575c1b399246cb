import ArgumentParser
import Checkpoints
import Converter
import Tensors

/// Makes a picture of a text, or of pictures and a text.
struct Image: Command {
  static let configuration = configure(
    "image", "Make a picture of a text, or edit pictures.",
    discussion: """
      MODEL is GLM-Image: its diffusers folder, or a bundle of it. What stands in quotation marks in the prompt is \
      written in the picture. The same seed gives the same picture.
      """)

  @Argument(help: "A pipeline's folder or a bundle.")
  var model: String

  @Option(name: [.short, .long], help: ArgumentHelp("What the picture shows.", valueName: "text"))
  var prompt: String

  @Option(name: [.short, .long], help: ArgumentHelp("The PNG file to write.", valueName: "file"))
  var output: String

  @Option(help: ArgumentHelp("A PNG file of a picture to edit; may be repeated.", valueName: "file"))
  var image: [String] = []

  @Option(help: ArgumentHelp("Steps from noise to picture.", valueName: "n"))
  var steps = 50

  @Option(help: ArgumentHelp("How closely to follow the prompt; 1 is half the work.", valueName: "x"))
  var guidance = 1.5

  @Option(help: ArgumentHelp("Pixels, a multiple of 32.", valueName: "n"))
  var width: Int?

  @Option(help: ArgumentHelp("Pixels, a multiple of 32.", valueName: "n"))
  var height: Int?

  @Option(help: ArgumentHelp("What visual tokens and noise are drawn from.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp("A .npy file of the noise, [1, channels, height/8, width/8].", valueName: "file"))
  var latents: String?

  @Option(
    help: ArgumentHelp("A folder that gets the tensors between the stages as .npy files.", valueName: "folder"))
  var saveStages: String?

  @Option(
    help: ArgumentHelp(
      "A PNG file to hold the picture against; exit code 1 when a value is off by more than 1.", valueName: "file"))
  var reference: String?

  @OptionGroup var computing: ComputeOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if steps < 1 { throw ValidationError("--steps takes a number of at least 1") }
    for (name, side) in [("--width", width), ("--height", height)] {
      if let side, side < 32 || side % 32 != 0 { throw ValidationError("\(name) takes a multiple of 32, not \(side)") }
    }
    if !guidance.isFinite { throw ValidationError("--guidance takes a number") }
  }

  func execute(_ console: Console) throws {
    let inputs = image + [latents, reference].compactMap { $0 }
    try ImagePipeline.checkOutput(output, inputs: inputs, overwrite: common.overwrite)
    var request = ImageRequest(prompt: prompt)
    (request.width, request.height, request.steps, request.guidance) = (width, height, steps, guidance)
    (request.seed, request.images) = (seed, image)
    request.latents = try latents.map { try NPY.read(path: $0) }
    let pipeline = try ImagePipeline(path: model, options: computing.options(common), fuse: !computing.noFuse)
    if let saveStages { try OutputFolder.make(saveStages) }
    let display = StageProgress(console)
    defer { display.finish() }
    let result = try pipeline.run(request, progress: display.update) { name, tensor in
      guard let saveStages else { return }
      try NPY.write(tensor, to: "\(saveStages)/\(name).npy", overwrite: common.overwrite)
    }
    display.finish()
    try result.write(to: output, overwrite: common.overwrite)
    let differences = try reference.map { try result.differences(from: $0) }
    try print(result, differences, console)
    if let differences, differences.largest > 1 {
      try console.out.flush()
      let error = BessemerError(
        .comparison, "the picture is not that of the reference: a value is off by \(differences.largest)", file: output)
      // The object on standard output already has the verdict.
      guard console.isJSON else { throw error }
      throw ExitCode(error.code.exitStatus.rawValue)
    }
  }

  private func print(
    _ result: ImagePipeline.Result, _ differences: (largest: Int, mean: Double)?, _ console: Console
  ) throws {
    guard console.isJSON else {
      let stages = result.seconds.map { "\($0.stage.rawValue) \(duration($0.seconds))" }.joined(separator: ", ")
      console.note(stages)
      console.note("memory  \(ByteSize(result.byteCount).text) at most beside the mapped weights")
      try console.out.line("wrote \(escaped(output, limit: 240)): \(result.width) × \(result.height) pixels")
      guard let differences else { return }
      return try console.out.line(
        "against the reference: off by at most \(differences.largest) of 255, "
          + "on average \(significant(differences.mean))"
      )
    }
    try console.json("image") { json in
      json.member("model", model)
      json.member("output", output)
      json.member("width", result.width)
      json.member("height", result.height)
      json.member("steps", steps)
      json.member("guidance", guidance)
      json.member("seed", Int(clamping: seed))
      json.array("stages") { json in
        for (stage, seconds) in result.seconds {
          json.object { json in
            json.member("stage", stage.rawValue)
            json.member("seconds", seconds)
          }
        }
      }
      json.member("peak_bytes", result.byteCount)
      guard let differences else { return }
      json.object("reference") { json in
        json.member("largest_difference", differences.largest)
        json.member("mean_difference", differences.mean)
      }
    }
  }
}

/// A display for each stage in turn.
private final class StageProgress {
  private let console: Console
  private var current: (stage: ImagePipeline.Stage, display: Progress)?

  init(_ console: Console) { self.console = console }

  func update(_ stage: ImagePipeline.Stage, _ done: Int, _ total: Int) {
    if current?.stage != stage {
      finish()
      current = (stage, console.progress(stage.rawValue, total: total, unit: .items))
    }
    current?.display.update(done, of: total)
  }

  func finish() {
    current?.display.finish()
    current = nil
  }
}
