internal import Quantization
internal import Safetensors
internal import Synchronization
public import Tensors

/// How a model is quantized.
public struct QuantizationOptions: Sendable {
  /// The scheme of every projection and expert.
  public var scheme: String
  /// Schemes of layers whose names match, later ones over earlier ones.
  public var overrides: [(pattern: NamePattern, scheme: String)] = []
  /// Layers that keep their values.
  public var keep: [NamePattern] = []
  /// How codes are found, see ``WeightMethod``.
  public var method = "minmax"
  /// The most bytes of tensors in a file.
  public var partByteCount = 4 << 30
  public var threads = 1
  public var overwrite = false

  public init(scheme: String) { self.scheme = scheme }
}

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

  /// Opens the model and plans every tensor; nothing of the weights is read. Throws ``ErrorCode/usage`` for an unknown
  /// scheme or a pattern that matches nothing, ``ErrorCode/unsupportedFeature`` with all layers that a scheme cannot
  /// store.
  public init(_ path: String, to output: String, options: QuantizationOptions) throws {
    let location = try ModelLocation(path)
    if case .bundle = location {
      throw BessemerError(.wrongFormat, "is a bundle; quantize takes a checkpoint", file: path)
    }
    try Bundles.checkOutput(output, overwrite: options.overwrite, kind: .folder)
    input = path
    self.output = output
    self.options = options
    let model = try LoadedModel(path: path, options: ModelOptions(separatesExperts: true))
    self.model = model
    sourceByteCount = model.weights.byteCount
    let choice = try SchemeChoice(options, layers: LinearFinder(model.graph).layers(), weights: model.weights)
    var package = AscendV1()
    var items: [Item] = []
    var parts: [QuantizedPart] = []
    for entry in model.weights.entries where !choice.isBias(entry.name) {
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
    (self.items, self.parts, self.package) = (items, parts, package)
  }

  /// Bytes of all tensors of the package.
  public var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }

  /// Writes the package, whole or not at all. `progress` gets the bytes of the model that are done, and all.
  public func write(progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws {
    let files = try layout()
    try AtomicFolder.write(to: output, overwrite: options.overwrite, mayReplace: Quantizer.mayReplace) { folder in
      let done = Mutex(0)
      for file in files {
        try folder.writeParts(file.name, byteCount: file.writer.byteCount) { sink in
          try sink.write(Bytes(file.writer.start), at: 0)
          let places = Dictionary(uniqueKeysWithValues: file.writer.places.map { ($0.name, $0.range) })
          let pieces = file.parts.flatMap { part in part.pieces.map { (part, $0) } }
          try inParallel(pieces.count, threads: options.threads) { index in
            let (part, rows) = pieces[index]
            for (name, offset, bytes) in try part.make(rows) {
              guard let place = places[name] else { preconditionFailure("\(name) is not in its file") }
              try sink.write(bytes, at: place.lowerBound + offset)
            }
            let count = done.withLock { done in
              done += part.sourceByteCount(rows)
              return done
            }
            progress(count, sourceByteCount)
          }
        }
      }
      try folder.write(AscendV1.descriptionName) { try $0.write(package.description) }
      if let index = index(files) {
        try folder.write(AscendV1.stem + ".safetensors.index.json") { try $0.write(index) }
      }
      for file in model.files.files { try folder.write(file.name) { try $0.write(PackageFiles.bytes(file)) } }
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
      if size > 0, item.byteCount > options.partByteCount - size {
        groups.append([])
        size = 0
      }
      groups[groups.count - 1].append(part)
      size += item.byteCount
    }
    return try groups.enumerated().map { index, group in
      var package = AscendV1()
      for part in group { part.add(to: &package) }
      // Laid out only: the tensors are written by place.
      let entries = package.items.map { SafetensorsWriter.Entry($0.name, $0.dtype, shape: $0.shape) { _ in } }
      let name = "\(AscendV1.stem)-\(fiveDigits(index + 1))-of-\(fiveDigits(groups.count)).safetensors"
      return File(name: name, writer: try SafetensorsWriter(entries), parts: group)
    }
  }

  private func index(_ files: [File]) -> [UInt8]? {
    guard files.count > 0 else { return nil }
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
    return try folder.contains(AscendV1.descriptionName) && folder.holdsOnlyFiles()
  }
}

/// Runs `body` for each number below `count` on so many threads, the lower numbers first.
func inParallel(_ count: Int, threads: Int, _ body: (Int) throws -> Void) throws {
  let next = Atomic(0)
  try parallel(max(1, min(threads, count))) { _ in
    while case let index = next.add(1, ordering: .relaxed).oldValue, index < count {
      try Interrupt.check()
      try body(index)
    }
  }
}

private func fiveDigits(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}
