import ArgumentParser

/// The commands about quantization; without the name of one it is ``QuantizePackage``.
struct QuantizeGroup: ParsableCommand {
  static let configuration = configure(
    "quantize", "Quantize a model's linear layers into a package for Ascend.",
    discussion: """
      bessemer quantize MODEL OUT SCHEME gives all layers one scheme; `bessemer quantize package --help` has its \
      options. plan chooses a scheme for each layer, apply carries a plan out, and sensitivity measures what each \
      layer costs. A model's folder that is called like a command is written with a path: ./plan.
      """,
    subcommands: [QuantizeApply.self, QuantizePackage.self, QuantizePlan.self, QuantizeSensitivity.self],
    defaultSubcommand: QuantizePackage.self)
}
