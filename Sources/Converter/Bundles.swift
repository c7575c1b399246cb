internal import Bundle
internal import IR
internal import Tensors

/// Bundles as the commands see them.
public enum Bundles {
  /// A bundle's parts.
  struct Contents {
    let parts: [Bundle.Part]
    let files: ModelFiles
  }

  /// How much a bundle holds.
  public struct Extent: Sendable {
    /// Files, the manifest among them.
    public let fileCount: Int
    /// Bytes of what the manifest lists.
    public let byteCount: Int

    init(_ manifest: BundleManifest) {
      fileCount = manifest.files.count + 1
      byteCount = manifest.files.reduce(0) { $0 + $1.byteCount }
    }
  }

  static func isBundle(_ path: String) -> Bool { Bundle.isBundle(path) }

  static func open(_ path: String, _ resources: Resources = Resources()) throws -> Contents {
    let bundle = try Bundle(path: path, threads: resources.threads, memoryLimit: resources.memoryLimit ?? .max)
    var files = ModelFiles()
    for name in bundle.fileNames {
      let bytes = try bundle.file(name, limit: ModelFiles.maximumByteCount)
      files.append(ModelFiles.File(name: name, path: path + "/" + name, bytes: bytes))
    }
    return Contents(parts: bundle.parts, files: files)
  }

  /// Hashes every byte of a bundle again; `progress` gets the bytes done and the bytes in all.
  public static func verify(_ path: String, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }) throws
    -> Extent
  {
    let bundle = try Bundle(path: path)
    try bundle.verify { progress($0.done, $0.total) }
    return Extent(bundle.manifest)
  }

  /// Makes one file of a bundle's folder.
  public static func pack(
    _ path: String, to output: String, overwrite: Bool, isDryRun: Bool,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Extent {
    guard try isFolder(path) else {
      throw BessemerError(.wrongFormat, "is not a folder; expected a bundle that is not packed yet", file: path)
    }
    let extent = Extent(try Bundle(path: path).manifest)
    try checkOutput(output, overwrite: overwrite, kind: .file)
    if !isDryRun { try Bundle.pack(path, to: output, overwrite: overwrite) { progress($0.done, $0.total) } }
    return extent
  }

  /// Makes a folder of a packed bundle.
  public static func unpack(
    _ path: String, to output: String, overwrite: Bool, isDryRun: Bool,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> Extent {
    guard try !isFolder(path) else {
      throw BessemerError(.wrongFormat, "is a folder; expected a packed bundle, one file", file: path)
    }
    let extent = Extent(try Bundle(path: path).manifest)
    try checkOutput(output, overwrite: overwrite, kind: .folder)
    if !isDryRun { try Bundle.unpack(path, to: output, overwrite: overwrite) { progress($0.done, $0.total) } }
    return extent
  }

  enum OutputKind { case file, folder }

  /// Says before any work what writing would say at once: that something stands at `output` which may not be replaced.
  static func checkOutput(_ output: String, overwrite: Bool, kind: OutputKind) throws {
    guard exists(output) else {
      let folder = folderPath(of: output.trimmingSlashes)
      guard exists(folder), try isFolder(folder) else {
        throw BessemerError(.outputFailed, "the folder it should go to does not exist", file: output)
      }
      return
    }
    let isFolder = try isFolder(output)
    guard isFolder == (kind == .folder) else {
      throw BessemerError(.outputFailed, isFolder ? "is a folder, expected a file" : "is no folder", file: output)
    }
    if isFolder, try InputFolder(path: output).names(limit: 1 << 20).isEmpty { return }
    guard overwrite else {
      throw BessemerError(
        .outputExists, "exists already; nothing was touched (pass --overwrite to replace it)", file: output)
    }
    guard try kind == .file || Bundle.isBundle(output) || InputFolder(path: output).holdsOnlyFiles() else {
      throw BessemerError(
        .outputExists, "is no bundle but a folder with folders, links or hidden files in it; it is left alone",
        file: output)
    }
  }
}

/// How much of the machine a piece of work may take.
public struct Resources: Sendable {
  public var threads: Int
  /// Bytes of memory to stay below; nil for no limit.
  public var memoryLimit: Int?

  public init(threads: Int = Machine.processorCount, memoryLimit: Int? = nil) {
    self.threads = threads
    self.memoryLimit = memoryLimit
  }
}
