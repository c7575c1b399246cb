import ArgumentParser
import Checkpoints
import Converter
import IR
import Runtime
import Tensors

/// Runs a model once on arrays from files.
struct Run: Command {
  static let configuration = configure(
    "run", "Run a model on .npy inputs and write its outputs as .npy.",
    discussion:
      "Inputs are named as the model's framework names them: input_ids, attention_mask, position_ids, token_type_ids. "
      + "All but the first may be left out. `bessemer graph print MODEL` shows names and types.")

  @Argument(help: "A model's folder or a bundle.")
  var model: String

  @Option(
    name: [.short, .long], help: ArgumentHelp("An input, NAME=FILE.npy; may be repeated.", valueName: "name=file"))
  var input: [String] = []

  @Option(
    name: [.short, .long], help: ArgumentHelp("The folder that gets NAME.npy for each output.", valueName: "folder"))
  var output: String?

  @Option(help: ArgumentHelp("Run n more times and print the least and the median time.", valueName: "n"))
  var `repeat` = 0

  @Flag(help: "Print the time of each kind of step.")
  var profile = false

  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if `repeat` < 0 { throw ValidationError("--repeat takes a number of at least 0") }
  }

  func execute(_ console: Console) throws {
    let runnable = try run.open(model, common)
    let inputs = try ModelInputs.read(input, for: runnable.session.model.graph)
    var stepTimes: [String: (count: Int, time: Duration)] = [:]
    if profile {
      runnable.session.timing = { name, time in
        stepTimes[name, default: (0, .zero)].count += 1
        stepTimes[name, default: (0, .zero)].time += time
      }
    }
    let results = try runnable.session.run(inputs)
    let times = try repeated(runnable.session, inputs)
    if let output { try write(results, to: output) }
    console.noteMemory(runnable.session)
    let names = runnable.session.model.graph.outputs.map(\.name)
    if console.isJSON {
      try console.json("run") { json in
        json.member("model", model)
        json.member("peak_bytes", runnable.session.peakByteCount)
        if let times {
          json.member("least_seconds", times.least)
          json.member("median_seconds", times.median)
        }
        json.array("outputs") { json in
          for name in names {
            guard let tensor = results[name] else { continue }
            json.object { json in
              json.member("name", name)
              json.member("dtype", tensor.dtype.longName)
              json.array("shape", tensor.shape)
            }
          }
        }
      }
      return
    }
    var table = Table([("output", .left), ("type", .left), ("least", .right), ("mean", .right), ("greatest", .right)])
    for name in names {
      guard let tensor = results[name] else { continue }
      let values = tensor.doubles
      let mean = values.reduce(0, +) / Double(max(values.count, 1))
      table.row(
        escaped(name), tensor.type.description, significant(values.min() ?? 0), significant(mean),
        significant(values.max() ?? 0))
    }
    try table.write(to: console.out)
    if let times {
      try console.out.line(
        "least \(significant(times.least * 1000)) ms, median \(significant(times.median * 1000)) ms of \(`repeat`) runs"
      )
    }
    guard profile else { return }
    var steps = Table([("step", .left), ("count", .right), ("milliseconds", .right)])
    for (name, entry) in stepTimes.sorted(by: { $0.value.time > $1.value.time }) {
      steps.row(name, String(entry.count), significant(entry.time / .milliseconds(1)))
    }
    try steps.write(to: console.out)
  }

  /// The times of further runs from empty states, in seconds.
  private func repeated(_ session: Session, _ inputs: [String: Tensor]) throws -> (least: Double, median: Double)? {
    guard `repeat` > 0 else { return nil }
    let clock = ContinuousClock()
    let times = try (0..<`repeat`).map { _ in
      session.reset()
      return try clock.measure { _ = try session.run(inputs) } / .seconds(1)
    }.sorted()
    return (times[0], times[times.count / 2])
  }

  /// Writes all outputs, into a folder that exists or is made.
  private func write(_ results: [String: Tensor], to folder: String) throws {
    try OutputFolder.make(folder)
    for (name, tensor) in results.sorted(by: { $0.key < $1.key }) {
      let plain = String(name.map { $0 == "/" ? "_" : $0 })
      try NPY.write(tensor, to: folder + "/" + plain + ".npy", overwrite: common.overwrite)
    }
  }
}
