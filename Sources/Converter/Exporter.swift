public import Tensors

/// How a model is exported.
public struct ExportOptions: Sendable {
  /// The type of activations.
  public var activation: DType = .float32
  public var passes = PassOptions()
  /// Whether weights are stored as zstd frames.
  public var compress = false
  /// Whether an older bundle may be replaced.
  public var overwrite = false

  public init() {}
}

/// Turns a checkpoint into a bundle: the graph fused for a target, weights in the form in which they are used.
public struct Exporter: Sendable {
  public let model: LoadedModel
  public let output: String
  public let options: ExportOptions

  /// What was written, or would be.
  public struct Summary: Sendable {
    /// A tensor of the bundle.
    public struct Weight: Sendable {
      public let name: String
      public let type: TensorType
      /// What was done to it: `unchanged`, or the operators that were evaluated.
      public let change: String
      public let byteCount: Int
    }

    public let weights: [Weight]
    /// Bytes of the bundle as it is stored; of the weights alone when nothing was written.
    public let byteCount: Int
    public let fileCount: Int
  }

  /// Opens the model and runs the passes; nothing is written yet.
  ///
  /// Throws ``ErrorCode/outputIsInput`` when `output` is the model, holds it or lies inside.
  public init(_ path: String, to output: String, options: ExportOptions = ExportOptions()) throws {
    self.output = output
    self.options = options
    let location = try ModelLocation(path)
    try Exporter.checkApart(output, location)
    if case .bundle = location {
      throw BessemerError(.wrongFormat, "is a bundle already; export takes a checkpoint", file: path)
    }
    model = try LoadedModel(location, options: ModelOptions(activation: options.activation, passes: options.passes))
  }

  public var sourceOperators: OperatorCounts { model.sourceOperators }
  public var operators: OperatorCounts { OperatorCounts(model.graph) }

  /// Throws when the output is the input, holds it or lies inside it.
  private static func checkApart(_ output: String, _ location: ModelLocation) throws {
    guard let input = realPath(location.modelFolder), let target = realPath(output) else { return }
    func holds(_ outer: String, _ inner: String) -> Bool {
      outer == inner || inner.hasPrefix(outer == "/" ? "/" : outer + "/")
    }
    if target == input { throw BessemerError(.outputIsInput, "is the model itself", file: output) }
    if holds(input, target) { throw BessemerError(.outputIsInput, "lies inside the model's folder", file: output) }
    if holds(target, input) { throw BessemerError(.outputIsInput, "holds the model", file: output) }
  }
}
