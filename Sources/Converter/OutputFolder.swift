internal import Glibc
import Tensors

/// A folder that gets several files, each of which appears whole.
public enum OutputFolder {
  /// Makes the folder at `path` unless it is there already.
  public static func make(_ path: String) throws {
    guard mkdir(path, 0o777) != 0 else { return }
    let reason = errno
    if reason == EEXIST, try isFolder(path) { return }
    throw BessemerError(.outputFailed, "the folder cannot be made: \(String(cString: strerror(reason)))", file: path)
  }
}
