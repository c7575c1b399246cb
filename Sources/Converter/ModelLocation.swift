internal import Glibc
internal import Tensors

/// What a path that the user gave leads to, told by content where a suffix may lie.
public enum ModelLocation: Sendable, Equatable {
  /// A folder with weights and, for a model, config.json.
  case folder(String)
  /// One safetensors file, or an index of several.
  case weights(String)
  /// A bundle: a folder with a manifest, or one packed file.
  case bundle(String)

  /// Looks at `path`. Throws ``ErrorCode/fileMissing`` when nothing is there.
  public init(_ path: String) throws {
    guard !path.isEmpty else { throw BessemerError(.fileMissing, "the path is empty") }
    if try isFolder(path) {
      self = Bundles.isBundle(path) ? .bundle(path) : .folder(path)
    } else if ["config.json", Pipeline.indexName].contains(where: { path == $0 || path.hasSuffix("/" + $0) }) {
      self = .folder(folderPath(of: path))
    } else {
      self = Bundles.isBundle(path) ? .bundle(path) : .weights(path)
    }
  }

  public var path: String {
    switch self {
    case .folder(let path), .weights(let path), .bundle(let path): path
    }
  }

  /// The folder where configuration and tokenizer lie.
  var modelFolder: String {
    switch self {
    case .folder(let path), .bundle(let path): path
    case .weights(let path): folderPath(of: path)
    }
  }
}

/// Whether `path` is a folder; throws ``ErrorCode/fileMissing`` when nothing is there.
func isFolder(_ path: String) throws -> Bool {
  var status = stat()
  guard !path.utf8.contains(0), stat(path, &status) == 0 else {
    // Opening says exactly what is wrong.
    _ = try InputFile(path: path)
    return false
  }
  return status.st_mode & S_IFMT == S_IFDIR
}

/// The path of the folder that holds `path`.
func folderPath(of path: String) -> String {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The path without links, `.` and `..`; of one that does not exist yet, by its folder.
func realPath(_ path: String) -> String? {
  if let resolved = realpath(path, nil) {
    defer { free(resolved) }
    return String(cString: resolved)
  }
  let trimmed = path.trimmingSlashes
  guard let folder = realpath(folderPath(of: trimmed), nil) else { return nil }
  defer { free(folder) }
  let name = trimmed.utf8.split(separator: UInt8(ascii: "/")).last.map { String($0) ?? "" } ?? ""
  return String(cString: folder) + "/" + name
}

/// Whether anything is at `path`, be it a link to nothing.
func exists(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0
}

extension String {
  /// Without slashes at the end.
  var trimmingSlashes: String {
    var result = self
    while result.count > 1, result.hasSuffix("/") { result.removeLast() }
    return result
  }
}
