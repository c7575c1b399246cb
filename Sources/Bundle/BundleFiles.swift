import Digests
import Safetensors
import Tensors

/// The files of a bundle, wherever they are: in a folder, or in one packed file.
struct BundleFiles: Sendable {
  private enum Place: Sendable {
    case folder(InputFolder)
    case packed(PackedBundle)
  }

  private let place: Place
  private let root: String

  init(path: String) throws {
    root = path
    do { place = .folder(try InputFolder(path: path)) } catch let error as BessemerError
      where error.code == .notRegularFile
    {
      place = .packed(try PackedBundle(path: path))
    }
  }

  /// How messages name a file of the bundle.
  func path(of name: String) -> String {
    switch place {
    case .folder(let folder): folder.joined(name)
    case .packed: root + "/" + name
    }
  }

  func names() throws -> [String] {
    switch place {
    case .folder(let folder): try folder.names(limit: BundleManifest.maximumFileCount + 1)
    case .packed(let packed): packed.files.map(\.file.name)
    }
  }

  func byteCount(of name: String) throws -> Int {
    switch place {
    case .folder: try open(name).byteCount
    case .packed(let packed): try packed.range(of: name).count
    }
  }

  /// The digest that a packed file's index gives; a folder has none beside the manifest.
  func listedDigest(of name: String) -> Digest? {
    guard case .packed(let packed) = place else { return nil }
    return packed.files.first { TensorName($0.file.name) == TensorName(name) }?.file.sha256
  }

  /// The content in memory of its own.
  func read(_ name: String, limit: Int) throws -> Bytes {
    switch place {
    case .folder: return try open(name).readAll(limit: limit)
    case .packed(let packed):
      let range = try packed.range(of: name)
      guard range.count <= limit else {
        throw BessemerError(.limit, "file of \(range.count) bytes, at most \(limit) are read", file: path(of: name))
      }
      return try packed.input.read(at: range.lowerBound, count: range.count)
    }
  }

  /// The content as a mapping.
  func map(_ name: String) throws -> Bytes {
    switch place {
    case .folder: try open(name).map().bytes
    case .packed(let packed): packed.mapping[try packed.range(of: name)]
    }
  }

  func safetensors(_ name: String) throws -> SafetensorsFile {
    switch place {
    case .folder: try SafetensorsFile(open(name))
    case .packed: try SafetensorsFile(map(name), path: path(of: name))
    }
  }

  private func open(_ name: String) throws -> InputFile {
    guard case .folder(let folder) = place else { preconditionFailure("not in a folder") }
    do { return try folder.open(name, links: .refused) } catch let error as BessemerError
      where error.code == .fileMissing && name == BundleManifest.fileName
    {
      throw BessemerError(.wrongFormat, "is no bundle: it has no \(BundleManifest.fileName)", file: root)
    }
  }
}
