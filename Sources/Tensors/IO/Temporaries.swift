internal import CSystem
internal import Glibc

/// The files and folders beside an output that it is written in. Who writes one holds a lock on it, so that one without
/// a lock was left by a process that was killed.
enum Temporaries {
  private static let end = ".tmp"

  /// A name for a new one; all for one output begin alike.
  static func name(for output: String) -> String {
    start(output) + String(UInt32.random(in: 0 ... .max), radix: 36) + end
  }

  /// With a hash, as names may be as long as the file system allows (FNV-1a).
  private static func start(_ output: String) -> String {
    let hash = output.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return ".bessemer-" + String(hash, radix: 36) + "-"
  }

  /// Takes the lock of an open one, on file systems that have locks.
  static func lock(_ descriptor: Int32) { flock(descriptor, LOCK_EX | LOCK_NB) }

  /// Removes what processes that were killed left for this output in the open folder.
  static func removeAbandoned(for output: String, in folder: Int32) {
    let start = start(output)
    let names = InputFolder.names(in: folder) { $0.hasPrefix(start) && $0.hasSuffix(end) }
    for name in names ?? [] {
      let descriptor = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { sys_remove_tree(folder, name) }
      close(descriptor)
    }
  }
}
