internal import CSystem
internal import Glibc

/// A place for an output in an open folder, checked before anything is written, and the temporary beside it.
final class OutputTarget {
  enum Kind { case file, folder }

  let path: String
  /// The open folder that target and temporary are in.
  let folder: Int32
  let name: String
  let temporary: String
  /// Whether something stands at the target that the commit replaces.
  let replaces: Bool
  /// Whether the temporary stays when the work ends early.
  let isKept: Bool
  private var slot: Int32

  /// Throws unless an output of this kind may be put at `path`. `mayReplace` decides about an existing folder. A
  /// temporary that is kept has the same name every time and stays when the work ends early.
  init(
    _ kind: Kind, path: String, overwrite: Bool, inputs: [FileIdentity], isKept: Bool = false,
    mayReplace: (String) throws -> Bool = { _ in false }
  ) throws {
    self.path = path
    self.isKept = isKept
    name = splitPath(path).name
    guard !name.isEmpty, name != ".", name != "..", !path.utf8.contains(0) else {
      throw BessemerError(.outputFailed, "is not the name of an output", file: path)
    }
    folder = sys_open_folder(splitPath(path).folder)
    slot = -1
    temporary = isKept ? ".\(name).bessemer-unfinished" : Temporaries.name(for: name)
    guard folder >= 0 else {
      replaces = false
      throw outputError(errno, "the folder of the output cannot be opened", path)
    }
    replaces = try OutputTarget.exists(kind, name, folder, path, overwrite, inputs, mayReplace)
    guard !isKept else { return }
    Temporaries.removeAbandoned(for: name, in: folder)
    slot = sys_temporary_add(folder, temporary)
  }

  deinit {
    discard()
    if folder >= 0 { close(folder) }
  }

  /// Removes the temporary, which after an exchange is what stood at the target before.
  func discard() {
    guard slot >= 0 else { return }
    sys_remove_tree(folder, temporary)
    sys_temporary_drop(slot)
    slot = -1
  }

  /// Puts the temporary at the target, all at once, and makes that durable.
  func commit(overwrite: Bool, exchange: Bool) throws {
    try Interrupt.check()
    for input in LiveInputs.all { try input.checkUnchanged() }
    var result = sys_rename(folder, temporary, folder, name, exchange ? 2 : overwrite ? 0 : 1)
    if result != 0, !exchange, !overwrite, errno == EINVAL || errno == ENOSYS {
      // A file system without that call: whoever creates the target in this instant loses.
      result = sys_rename(folder, temporary, folder, name, 0)
    }
    guard result == 0 else {
      if errno == EEXIST { throw OutputTarget.existsError(path) }
      if exchange, errno == EINVAL || errno == ENOSYS {
        throw BessemerError(
          .outputFailed, "the file system cannot exchange folders; remove the old one first", file: path)
      }
      throw outputError(errno, "cannot be put in place", path)
    }
    if exchange, slot < 0 { sys_remove_tree(folder, temporary) }
    if !exchange {
      sys_temporary_drop(slot)
      slot = -1
    }
    // Some file systems cannot sync folders and say EINVAL.
    guard fsync(folder) == 0 || errno == EINVAL else {
      throw outputError(errno, "is complete and in place, but its folder cannot be synced to disk", path)
    }
  }

  private static func existsError(_ path: String) -> BessemerError {
    BessemerError(.outputExists, "exists already; nothing was touched (pass --overwrite to replace it)", file: path)
  }

  /// Whether the target exists and may be replaced; throws when it may not.
  private static func exists(
    _ kind: Kind, _ name: String, _ folder: Int32, _ path: String, _ overwrite: Bool, _ inputs: [FileIdentity],
    _ mayReplace: (String) throws -> Bool
  ) throws -> Bool {
    var status = stat()
    guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
      guard errno == ENOENT else { throw outputError(errno, "cannot be examined", path) }
      return false
    }
    // The link itself is replaced, never what it leads to; but what it leads to must not be an input.
    let isLink = status.st_mode & S_IFMT == S_IFLNK
    let isDangling = isLink && fstatat(folder, name, &status, 0) != 0
    if kind == .file {
      guard isDangling || !isInput(FileIdentity(status), inputs) else {
        throw BessemerError(.outputIsInput, "is one of the inputs", file: path)
      }
      if !isDangling, let special = InputFile.specialKind(status.st_mode) {
        throw BessemerError(.outputFailed, "is \(isLink ? "a link to " : "")\(special), expected a file", file: path)
      }
      guard overwrite else { throw existsError(path) }
      return true
    }
    guard !isLink, status.st_mode & S_IFMT == S_IFDIR else {
      throw BessemerError(.outputFailed, "is no folder", file: path)
    }
    let isInput = inputs.contains { $0.isSameFile(FileIdentity(status)) }
    guard !isInput, !holdsInput(path) else { throw BessemerError(.outputIsInput, "holds an input", file: path) }
    if try InputFolder(path: path).isEmpty() { return false }
    guard overwrite else { throw existsError(path) }
    guard try mayReplace(path) else {
      throw BessemerError(
        .outputExists, "is a folder of another kind; it is left alone", file: path)
    }
    return true
  }

  private static func isInput(_ target: FileIdentity, _ inputs: [FileIdentity]) -> Bool {
    inputs.contains { $0.isSameFile(target) } || LiveInputs.all.contains { $0.identity.isSameFile(target) }
  }

  /// Whether a mapped input lies in the folder or below it.
  private static func holdsInput(_ path: String) -> Bool {
    guard let real = realPath(path) else { return false }
    // By bytes: a slash and a mark that combines with it are one character to String.
    let folder = real == "/" ? real : real + "/"
    return LiveInputs.all.contains { input in
      input.realPaths.contains { ($0 + "/").utf8.starts(with: folder.utf8) }
    }
  }
}
