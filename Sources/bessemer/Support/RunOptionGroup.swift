import ArgumentParser
import Converter
import IR
import Passes
import Runtime
import Tensors

/// The options that say how models run.
struct ComputeOptionGroup: ParsableArguments {
  @Option(help: ArgumentHelp("What matrix products are computed in: float32 or bfloat16.", valueName: "type"))
  var compute: String?

  @Flag(help: "Run the elementary operators of a checkpoint without fusing them.")
  var noFuse = false

  func options(_ common: CommonOptions) throws -> RunOptions {
    var compute = RunOptions.Compute.float32
    if let text = self.compute {
      switch DType(spelling: text) {
      case .float32: compute = .float32
      case .bfloat16: compute = .bfloat16
      default: throw BessemerError(.usage, "--compute takes float32 or bfloat16, not \(quoted(text))")
      }
    }
    let memory = Machine.memoryByteCount
    return RunOptions(
      threads: common.threads ?? Machine.processorCount, compute: compute,
      packLimit: common.maxMemory.map { $0.byteCount / 2 } ?? memory * 2 / 5)
  }

}

/// The options of commands that run one graph.
struct RunOptionGroup: ParsableArguments {
  @OptionGroup var computing: ComputeOptionGroup
  @OptionGroup var choice: ComponentOption

  @Option(
    help: ArgumentHelp(
      "Whose arithmetic quantized weights of a checkpoint are multiplied in: a2, a3, a5, 310p, or a chip's name; a2 "
        + "if it is left out.", valueName: "chip"))
  var soc: String?

  @Flag(help: "Widen quantized weights of a checkpoint, and leave inputs as they are.")
  var dequantize = false

  /// How quantized weights are multiplied; nil widens them.
  private var arithmetic: QuantizedArithmetic? {
    get throws {
      guard dequantize else { return try QuantizedArithmetic(option: soc ?? "a2") }
      guard soc == nil else { throw BessemerError(.usage, "--dequantize and --soc exclude each other") }
      return nil
    }
  }

  /// Opens models to run. Throws ``ErrorCode/usage`` when it is said how quantized weights are multiplied, and none
  /// of the models has such weights.
  func open(
    _ paths: [String], _ common: CommonOptions, lastPositionOnly: Bool = false, showsLayers: Bool = false
  ) throws -> [RunnableModel] {
    let models = try paths.map {
      try RunnableModel(
        path: $0, component: choice.component, options: computing.options(common), fuse: !computing.noFuse,
        arithmetic: arithmetic, lastPositionOnly: lastPositionOnly, showsLayers: showsLayers)
    }
    let isMultiplied = models.contains { $0.loaded.origin == .checkpoint && $0.loaded.isQuantized }
    if soc != nil || dequantize, !isMultiplied {
      throw BessemerError(
        .usage,
        "\(soc == nil ? "--dequantize" : "--soc") has no effect: \(paths.map(quoted).joined(separator: " and ")) "
          + "\(paths.count == 1 ? "holds" : "hold") no weights in few bits that a chip multiplies")
    }
    return models
  }

  func open(_ path: String, _ common: CommonOptions, lastPositionOnly: Bool = false) throws -> RunnableModel {
    try open([path], common, lastPositionOnly: lastPositionOnly)[0]
  }
}

extension QuantizedArithmetic {
  /// By what `--soc` says; throws ``ErrorCode/unsupportedTarget``.
  init(option soc: String) throws {
    guard let known = QuantizedArithmetic(named: soc) else {
      throw BessemerError(
        .unsupportedTarget,
        "--soc \(quoted(soc)) multiplies nothing quantized that is known; expected a2, a3, a5, "
          + "310p or the name of such a chip")
    }
    self = known
  }
}

/// The option that names one graph of several.
struct ComponentOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("Which graph, of a model that has several: transformer, vae/decoder.", valueName: "name"))
  var component: String?
}

extension Console {
  /// Says how much memory a run took.
  func noteMemory(_ session: Session) {
    note(
      "memory  \(ByteSize(session.peakByteCount).text) activations and states at most, "
        + "\(ByteSize(session.model.parameterByteCount).text) prepared weights")
  }
}
