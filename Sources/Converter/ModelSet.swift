internal import Bundle
public import Passes
public import Tensors

/// All graphs that a path leads to: mostly one, but the two of an autoencoder, or those of every component of a
/// pipeline, which is a folder of folders with `model_index.json` as diffusers lays them out.
public struct ModelSet: Sendable {
  /// The path as the user named it.
  public let path: String
  public let origin: LoadedModel.Origin
  /// The `model_type` of config.json, or the class of a pipeline.
  public let modelType: String
  /// At least one. A single graph is called `model`; others by folder and graph, `transformer` or `vae/decoder`.
  public let components: [LoadedModel]
  /// Files beside the weights; those of a pipeline's folders are named like `vae/config.json`.
  public let files: ModelFiles

  /// Opens everything at `path`. Throws as ``LoadedModel`` does.
  public init(path: String, options: ModelOptions = ModelOptions()) throws {
    try self.init(ModelLocation(path), options: options)
  }

  /// Opens everything at a location; `opened` are the weights of a model's folder if they have been opened already.
  public init(
    _ location: ModelLocation, options: ModelOptions = ModelOptions(), weights opened: TensorStore? = nil
  ) throws {
    path = location.path
    if case .bundle(let path) = location {
      origin = .bundle
      let bundle = try Bundles.open(path, options.resources)
      files = bundle.files
      let pipeline = try Pipeline(files)
      components = try bundle.parts.map { part in
        let folder = pipeline == nil ? "" : String(part.name.prefix { $0 != "/" })
        let files = bundle.files.folder(folder)
        return try LoadedModel(path: path, name: part.name, bundled: part.graph, weights: part.weights, files: files)
      }
      modelType = pipeline?.name ?? components[0].modelType
      return
    }
    origin = .checkpoint
    if let pipeline = try Pipeline(location) {
      modelType = pipeline.name
      files = try pipeline.files()
      components = try pipeline.models.flatMap { try LoadedModel.checkpoint(.folder($0.path), in: $0.name, options) }
      return
    }
    components = try LoadedModel.checkpoint(location, in: nil, options, weights: opened)
    (modelType, files) = (components[0].modelType, components[0].files)
  }

  /// The component of this name, or the only one. Throws ``ErrorCode/usage`` when there is none, or more than one.
  public func component(_ name: String?) throws -> LoadedModel {
    let names = components.map(\.name).joined(separator: ", ")
    guard let name else {
      guard components.count == 1 else {
        throw BessemerError(.usage, "consists of \(names); name one of them with --component", file: path)
      }
      return components[0]
    }
    guard let component = components.first(where: { $0.name == name }) else {
      throw BessemerError(.usage, "has no component \(quoted(name)); it has \(names)", file: path)
    }
    return component
  }

  /// What the model is for.
  public var kind: ModelKind { modelType == "GlmImagePipeline" ? .imageGeneration : components[0].kind }

  /// What the passes did to all graphs; nil when none ran.
  public var report: PassReport? {
    let reports = components.compactMap(\.report)
    return reports.isEmpty ? nil : reports.reduce(into: PassReport()) { $0 += $1 }
  }

  /// Operators of all graphs before any pass ran.
  public var sourceOperators: OperatorCounts {
    components.map(\.sourceOperators).reduce(into: OperatorCounts()) { $0 += $1 }
  }

  /// Each checkpoint of the set once, with what stands before the names of its tensors where there are several.
  public var checkpoints: [(prefix: String, weights: TensorStore)] {
    var seen: Set<String> = []
    return components.filter { seen.insert($0.folder ?? "").inserted }
      .map { ($0.folder.map { $0 + "/" } ?? "", $0.weights) }
  }
}

/// A folder of components, by its `model_index.json`.
struct Pipeline {
  static let indexName = "model_index.json"
  /// More components than this are not looked for.
  private static let maximumCount = 100

  /// The class of the pipeline.
  let name: String
  private let path: String
  private let index: ModelFiles.File
  /// All folders that the index names.
  private let folders: [String]

  /// The pipeline at a location; nil where there is no index, or where config.json says that it is a model.
  init?(_ location: ModelLocation) throws {
    guard case .folder(let path) = location else { return nil }
    let folder = try InputFolder(path: path)
    guard folder.contains(Pipeline.indexName), !folder.contains("config.json") else { return nil }
    let file = try folder.open(Pipeline.indexName, links: .followed)
    let bytes = try file.readAll(limit: ModelFiles.maximumByteCount)
    index = ModelFiles.File(name: Pipeline.indexName, path: file.path, bytes: bytes)
    self.path = path
    (name, folders) = try inFile(file.path) { try Pipeline.read(JSON.parse(bytes)) }
  }

  /// The pipeline of a bundle that carries these files.
  init?(_ files: ModelFiles) throws {
    guard let index = files[Pipeline.indexName] else { return nil }
    self.index = index
    path = folderPath(of: index.path)
    (name, folders) = try inFile(index.path) { try Pipeline.read(JSON.parse(index.bytes)) }
  }

  /// The class, and the members that are pairs of a library and a class.
  private static func read(_ json: JSON) throws -> (name: String, folders: [String]) {
    guard json.kind == .object, let name = json["_class_name"]?.string else {
      throw BessemerError(.config, "names no class of a pipeline: expected an object with \"_class_name\"")
    }
    let folders = json.members.filter { key, value in
      !key.hasPrefix("_") && value.kind == .array && value.count == 2 && value.elements.allSatisfy { $0.string != nil }
    }.map { String($0.key) }
    guard folders.count <= maximumCount else {
      throw BessemerError(.limit, "\(folders.count) components, at most \(maximumCount) are read")
    }
    for folder in folders {
      guard !folder.utf8.contains(UInt8(ascii: "/")), !folder.hasPrefix(".") else {
        throw BessemerError(.pathEscape, "component \(quoted(folder)) is not a plain name")
      }
    }
    return (name, folders)
  }

  /// The folders that hold a model.
  var models: [(name: String, path: String)] {
    get throws {
      let models = try folders.map { ($0, path + "/" + $0) }.filter {
        try InputFolder(path: $0.1).contains("config.json")
      }
      guard !models.isEmpty else {
        throw BessemerError(.config, "names no component that is a model", file: index.path)
      }
      return models
    }
  }

  /// The small files of all folders, and the index.
  func files() throws -> ModelFiles {
    var result = ModelFiles()
    result.append(index)
    for folder in folders { result.append(try ModelFiles(folder: path + "/" + folder), folder: folder) }
    return result
  }
}
