internal import Quantization
internal import Safetensors
public import Tensors

/// Quantizes the linear layers of a model into a package for Ascend, weights streamed from file to file.
///
/// Layers are found in the model's graph. The bytes depend on the model and the options alone.
public struct Quantizer: Sendable {
  /// What becomes of a tensor of the model.
  public struct Item: Sendable {
    public let name: TensorName
    public let from: TensorType
    /// The name of the scheme; nil for a tensor that keeps its values.
    public let scheme: String?
    /// Bytes of all tensors that stand for it.
    public let byteCount: Int
    /// Whether codes of the model are taken over as they are.
    public let keepsCodes: Bool
  }

  public let input: String
  public let output: String
  public let items: [Item]
  /// Bytes of all tensors of the model.
  public let sourceByteCount: Int

  private let options: QuantizationOptions
  private let model: LoadedModel
  private let parts: [QuantizedPart]
  private let package: AscendV1
  private let recipe: QuantizationRecipe
  private let choice: SchemeChoice
  private let style: PackageStyle
  /// Nil for one file.
  private let partByteCount: Int?
  private let calibrationPath: String?
  private let extras: [QuantizedExtra]
  private let statistics: StatisticsChoice

  /// Opens the model and plans every tensor; nothing of the weights is read. Throws ``ErrorCode/usage`` for an unknown
  /// scheme or a pattern that matches nothing, ``ErrorCode/unsupportedFeature`` with all layers that a scheme cannot
  /// store.
  ///
  /// - Parameter plan: says the scheme of each layer instead of `options`.
  public init(_ path: String, to output: String, options: QuantizationOptions, plan: QuantizationPlan? = nil) throws {
    try Bundles.checkOutput(output, overwrite: options.overwrite, kind: .folder)
    input = path
    self.output = output
    self.options = options
    var model = try Quantizer.model(path)
    sourceByteCount = model.weights.byteCount
    let file = try options.recipe.map {
      try RecipeFile($0, modelType: model.modelType, isCompatible: options.isCompatible)
    }
    var recipe =
      try file.map { QuantizationRecipe(steps: $0.steps) } ?? QuantizationRecipe(options, plan?.assignment)
    for case .smooth(let smoothing) in recipe.steps where smoothing.v0?.shifts == true {
      model = try ShiftedNorms.prepare(model, smoothing)
    }
    self.model = model
    partByteCount = file.map(\.partByteCount) ?? options.partByteCount
    calibrationPath = options.statistics == nil ? options.calibration ?? file?.dataset : nil
    guard !recipe.needsData || calibrationPath != nil || options.statistics != nil else {
      let what = options.scheme ?? (plan == nil ? "the recipe" : "the plan")
      throw BessemerError(.usage, "\(what) needs calibration data; give a file with --calibration")
    }
    statistics = try StatisticsChoice(options, recipe, model.weights, keepsWidest: (file?.keptCount ?? 0) > 0)
    let layers = LinearFinder(model.graph).layers()
    try plan?.check(model.weights, layers)
    for pattern in options.overrides.map(\.pattern) + options.keep
    where try !layers.contains(where: { try pattern.matches($0.module) || pattern.matches($0.weight.string) }) {
      throw BessemerError(.usage, "\(quoted(pattern.text)) matches none of the \(layers.count) linear layers")
    }
    var style = try PackageStyle(options)
    if style == .ascendV1, let file { style = file.style }
    self.style = style
    if let count = file?.keptCount, count > 0, let path = calibrationPath {
      try recipe.keepWidest(count, model, options, path)
    }
    let choice = try SchemeChoice(
      recipe, layers: layers, weights: model.weights, isCompatible: options.isCompatible, style: style)
    (self.recipe, self.choice) = (recipe, choice)
    var package = AscendV1(style)
    var items: [Item] = []
    var parts: [QuantizedPart] = []
    for entry in model.weights.entries
    where !choice.isBias(entry.name) && !options.loses(entry.name, of: model.modelType) {
      let part = try choice.part(entry, of: model.weights)
      let before = package.items.count
      part.add(to: &package)
      let byteCount = package.items[before...].reduce(0) { $0 + (Tensor.byteCount($1.dtype, shape: $1.shape) ?? 0) }
      items.append(
        Item(
          name: entry.name, from: entry.type, scheme: part.scheme?.name, byteCount: byteCount,
          keepsCodes: part.keepsCodes))
      parts.append(part)
    }
    extras = try QuantizedExtra.all(recipe, model, isCompatible: options.isCompatible)
    for extra in extras { package.add(extra.name, extra.dtype, shape: extra.shape, type: extra.type) }
    for case .quantizeAttention(let step) in recipe.steps {
      for found in try QuantizedExtra.chosen(step, model) { package.add(step.formats, attention: found.module) }
    }
    package.modelTypeV0 = file?.modelTypeV0
    package.isRotated = recipe.rotation.map { !$0.headsOnly && $0.search == nil } ?? false
    (self.items, self.parts, self.package) = (items, parts, package)
  }

  /// The model as it is quantized; activations are of its own type unless said otherwise.
  static func model(_ path: String, activation: DType? = nil) throws -> LoadedModel {
    let location = try ModelLocation(path)
    if case .bundle = location {
      throw BessemerError(.wrongFormat, "is a bundle; quantize takes a checkpoint", file: path)
    }
    let activation = try activation ?? Quantizer.activation(location)
    return try LoadedModel(path: path, options: ModelOptions(activation: activation, separatesExperts: true))
  }

  /// The type of the checkpoint's weights, which calibration computes in as msModelSlim does.
  static func activation(_ location: ModelLocation) throws -> DType {
    let config = try ModelFiles(folder: location.modelFolder).json("config.json")
    let text = config?["text_config"]
    let name = config?["dtype"] ?? config?["torch_dtype"] ?? text?["dtype"] ?? text?["torch_dtype"]
    let dtype = name?.string.flatMap { DType(spelling: $0) }
    return dtype.flatMap { LinearWeight.dtypes.contains($0) ? $0 : nil } ?? .float32
  }

  /// Bytes of all tensors of the package.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Writes the package, whole or not at all. `progress` gets the bytes of the model that are done, and all.
  /// - Returns: what a person should know of the calibration, a sentence each.
  @discardableResult
  public func write(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> [String] {
    var notes: [String] = []
    let files = try layout()
    let sequences = try calibration()
    try AtomicFolder.write(to: output, overwrite: options.overwrite, mayReplace: Quantizer.mayReplace) { folder in
      try open(files[...], in: folder, []) { outputs in
        let work = QuantizedWork(outputs, threads: options.threads, total: sourceByteCount, progress: progress)
        guard recipe.needsData || recipe.editsWeights else {
          let weights = PreparedWeights(model.weights)
          for extra in extras { if let bytes = try extra.bytes(weights) { try work.write(bytes, extra.name) } }
          return try work.write(parts, of: weights)
        }
        var rest = Dictionary(uniqueKeysWithValues: parts.map { ($0.entry.name, $0) })
        var written: Set<TensorName> = []
        let saved = try statistics.opened(model, recipe)
        var calibrator = try Calibrator(
          recipe, model, choice: choice.steps, sequences: sequences, statistics: saved,
          isCompatible: options.isCompatible, threads: options.threads)
        try calibrator.prepare { weights, names in
          for extra in extras where !written.contains(extra.name) {
            guard let bytes = try extra.bytes(weights) else { continue }
            written.insert(extra.name)
            try work.write(bytes, extra.name)
          }
          try work.write(names.compactMap { rest.removeValue(forKey: $0) }, of: weights)
        }
        notes = calibrator.notes
        try statistics.finish(saved, calibrationPath)
        // What the graph does not use stays as it is.
        try work.write(parts.filter { rest[$0.entry.name] != nil }, of: PreparedWeights(model.weights))
      }
      if let name = package.fileName { try folder.write(name) { try $0.write(package.description) } }
      if let index = index(files) {
        try folder.write(package.stem + ".safetensors.index.json") { try $0.write(index) }
      }
      if package.isRotated, let rotation = recipe.rotation,
        let matrix = try RotationPlan.residual(rotation, model.graph)
      {
        let entry = SafetensorsWriter.Entry("global_rotation", .float32, shape: [matrix.rows, matrix.columns]) {
          try $0.write(matrix.values.withUnsafeBytes { Bytes($0) })
        }
        try folder.write(AscendV1.rotationName) { try SafetensorsWriter([entry]).write(to: $0) }
      }
      let compressed = style == .compressedTensors ? CompressedSettings(parts, kept: choice.keptModules) : nil
      let original = options.isCompatible ? OriginalSettings(parts, recipe, modelType: model.modelType) : nil
      let settings = compressed.map { $0.write } ?? original.map { $0.write }
      for file in model.files.files {
        try folder.write(file.name) { try $0.write(PackageFiles.bytes(file, settings)) }
      }
    }
    return notes
  }

  private func calibration() throws -> [[Int32]]? {
    guard recipe.needsData, let path = calibrationPath else { return nil }
    try options.checkCalibration(path)
    return try options.sequences(path, for: model)
  }

  /// Opens all files at once: sections and files are not cut at the same places.
  private func open(
    _ files: ArraySlice<File>, in folder: AtomicFolder, _ outputs: [QuantizedWork.Output],
    _ body: ([QuantizedWork.Output]) throws -> Void
  ) throws {
    guard let file = files.first else { return try body(outputs) }
    try folder.writeParts(file.name, byteCount: file.writer.byteCount) { sink in
      try sink.write(Bytes(file.writer.start), at: 0)
      let output = QuantizedWork.Output(
        sink: sink, places: Dictionary(uniqueKeysWithValues: file.writer.places.map { ($0.name, $0.range) }))
      try open(files.dropFirst(), in: folder, outputs + [output], body)
    }
  }

  private struct File {
    let name: String
    let writer: SafetensorsWriter
    let parts: [QuantizedPart]
  }

  /// Deals the tensors to files, those of a layer to the same one.
  private func layout() throws -> [File] {
    var groups: [[QuantizedPart]] = [[]]
    var size = 0
    for (part, item) in zip(parts, items) {
      if let partByteCount, size > 0, item.byteCount > partByteCount - size {
        groups.append([])
        size = 0
      }
      groups[groups.count - 1].append(part)
      size += item.byteCount
    }
    return try groups.enumerated().map { index, group in
      var package = AscendV1(style)
      for part in group { part.add(to: &package) }
      if index == groups.count - 1 {
        for extra in extras { package.add(extra.name, extra.dtype, shape: extra.shape, type: extra.type) }
      }
      // Laid out only: the tensors are written by place.
      let entries = package.items.map { SafetensorsWriter.Entry($0.name, $0.dtype, shape: $0.shape) { _ in } }
      let number = partByteCount.map { _ in "-\(fiveDigits(index + 1))-of-\(fiveDigits(groups.count))" } ?? ""
      let name = "\(self.package.stem)\(number).safetensors"
      return File(name: name, writer: try SafetensorsWriter(entries), parts: group)
    }
  }

  private func index(_ files: [File]) -> [UInt8]? {
    guard partByteCount != nil else { return nil }
    var json = JSONWriter()
    json.object { json in
      json.object("metadata") { $0.member("total_size", byteCount) }
      json.object("weight_map") { json in
        for file in files { for place in file.writer.places { json.member(place.name.string, file.name) } }
      }
    }
    return json.utf8
  }

  /// Whether a folder is a package that this wrote.
  private static func mayReplace(_ path: String) throws -> Bool {
    let folder = try InputFolder(path: path)
    guard try folder.holdsOnlyFiles() else { return false }
    if try folder.names().contains(where: AscendV1Reader.isDescription) { return true }
    guard folder.contains("config.json"), let config = try ModelFiles(folder: path).json("config.json") else {
      return false
    }
    return ForeignCheckpoint.settings(config)?["quant_method"]?.string == PackageStyle.compressedTensors.rawValue
  }
}

extension PackageStyle {
  init(_ options: QuantizationOptions) throws {
    guard let style = PackageStyle(rawValue: options.format.lowercased()) else {
      let names = PackageStyle.allCases.map { $0.rawValue }.joined(separator: ", ")
      throw BessemerError(.usage, "no package \(quoted(options.format)); expected one of \(names)")
    }
    self = style
  }
}

extension QuantizationOptions {
  /// Whether the package lacks this tensor: msModelSlim writes parameters alone, and it is a buffer.
  /// DeepSeek's own code has it as a parameter.
  func loses(_ name: TensorName, of modelType: String) -> Bool {
    isCompatible && modelType != "deepseek_v3" && name.string.hasSuffix(".e_score_correction_bias")
  }
}

private func fiveDigits(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}
