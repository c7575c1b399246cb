internal import CSystem
internal import Glibc

/// Which files of an unfinished folder are finished: a file `.journal` in it, of one JSON object a line.
///
/// The first line names the work, so that another one does not go on with it; each further line a file that is written
/// and synced, with a note for whoever goes on. A last line that is not whole is one that was being written. The file
/// is locked while the work goes on.
final class FolderJournal {
  static let name = ".journal"
  /// Bytes that are read.
  private static let maximumByteCount = 256 << 20

  private let descriptor: Int32
  private let path: String
  private var end: Int
  /// Finished files by name: their size and the note.
  private(set) var files: [String: (byteCount: Int, note: String)] = [:]

  /// The journal in an open folder; nil when it is of other work, or no journal. Throws when another process has it.
  init?(in folder: Int32, path: String, key: String) throws {
    self.path = path
    descriptor = openat(folder, FolderJournal.name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else { throw outputError(errno, "its journal cannot be opened", path) }
    end = 0
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw BessemerError(.outputFailed, "is being written by another process", file: path)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw outputError(errno, "its journal cannot be examined", path) }
    guard status.st_size > 0 else {
      try append { $0.member("key", key) }
      return
    }
    guard status.st_size <= FolderJournal.maximumByteCount, try read(Int(status.st_size), key) else { return nil }
  }

  deinit { close(descriptor) }

  /// Notes a finished file.
  func add(_ name: String, byteCount: Int, note: String) throws {
    try append { json in
      json.member("file", name)
      json.member("bytes", byteCount)
      json.member("note", note)
    }
    files[name] = (byteCount, note)
  }

  private func append(_ members: (inout JSONWriter) -> Void) throws {
    var json = JSONWriter(.compact)
    json.object(members)
    let line = json.utf8 + [UInt8(ascii: "\n")]
    let count = line.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(end)) }
    guard count == line.count, fdatasync(descriptor) == 0 else {
      throw outputError(errno, "its journal cannot be written", path)
    }
    end += count
  }

  /// Whether the journal is of this work.
  private func read(_ byteCount: Int, _ key: String) throws -> Bool {
    let text = try Bytes(byteCount: byteCount) { target in
      guard pread(descriptor, target.baseAddress, byteCount, 0) == byteCount else {
        throw outputError(errno, "its journal cannot be read", path)
      }
    }
    for line in text.array.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast() {
      guard let json = try? JSON.parse(Bytes(line)), json.kind == .object else { return false }
      if end == 0 {
        guard json["key"]?.string == key else { return false }
      } else {
        guard let name = json["file"]?.string, let size = json["bytes"]?.int, let note = json["note"]?.string else {
          return false
        }
        files[name] = (size, note)
      }
      end += line.count + 1
    }
    return end > 0
  }
}
