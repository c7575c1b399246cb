internal import CSystem
internal import Glibc

/// A new file that is being written: buffered, with the calls resumed until everything is written.
final class OutputFile: ByteSink {
  /// The path for messages: the final one, not that of the temporary.
  let path: String
  private(set) var position = 0
  private let byteCount: Int?
  private var descriptor: Int32
  private var buffer: [UInt8] = []
  /// Bytes that stand in the file; the rest up to `position` is in the buffer.
  private var flushed = 0

  /// Bytes that the disk was told to begin with.
  private var started = 0
  private static let startedSize = 16 << 20
  /// Bytes before the end that the disk is not told to begin with: pages that it writes take no further bytes.
  private static let openSize = 8 << 20
  private static let pageSize = 4 << 10

  private static let bufferSize = 256 << 10
  private static let pieceSize = 1 << 20

  /// Creates `name` in an open folder; nothing of that name may exist. `byteCount`, when known, is reserved at once.
  init(name: String, in folder: Int32, path: String, byteCount: Int?) throws {
    self.path = path
    self.byteCount = byteCount
    var file: Int32
    repeat {
      file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
    } while file < 0 && errno == EINTR && !Interrupt.isRequested
    guard file >= 0 else { throw outputError(errno, "cannot be created", path) }
    descriptor = file
    Temporaries.lock(file)
    if let byteCount, byteCount > 0, sys_reserve(file, Int64(byteCount)) != 0 {
      throw outputError(errno, "\(byteCount) bytes cannot be reserved", path)
    }
  }

  deinit { closeQuietly() }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    if buffer.count + bytes.count <= OutputFile.bufferSize {
      if buffer.capacity == 0 { buffer.reserveCapacity(OutputFile.bufferSize) }
      buffer.append(contentsOf: bytes)
    } else {
      try flush()
      try put(bytes)
    }
    position += bytes.count
  }

  func write(_ bytes: Bytes) throws {
    if let (file, offset) = bytes.mapping {
      if bytes.count > OutputFile.bufferSize {
        try flush()
        try copy(file, offset..<(offset + bytes.count), at: flushed)
        flushed += bytes.count
        startWriting()
      } else {
        try buffer(file, offset, bytes.count)
      }
      position += bytes.count
      return
    }
    try bytes.withUnsafeBytes { raw in
      for start in stride(from: 0, to: raw.count, by: OutputFile.pieceSize) {
        try write(UnsafeRawBufferPointer(rebasing: raw[start..<min(raw.count, start + OutputFile.pieceSize)]))
      }
    }
  }

  /// Writes over bytes that were written before.
  func replace(_ bytes: Bytes, at start: Int) throws {
    precondition(start + bytes.count <= position, "bytes beyond the end")
    try flush()
    try write(bytes, at: start)
  }

  /// Writes what is buffered, makes it durable and closes the file. A failed sync is final: the pages may be gone.
  func finish() throws {
    try flush()
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw outputError(errno, "cannot be examined", path) }
    guard Int(status.st_size) == position, byteCount.map({ $0 == position }) ?? true else {
      throw BessemerError(
        .outputFailed, "has \(status.st_size) bytes, \(position) were written of \(byteCount ?? position)", file: path)
    }
    guard fsync(descriptor) == 0 else { throw outputError(errno, "cannot be synced to disk", path) }
    let result = close(descriptor)
    let number = errno
    descriptor = -1
    guard result == 0 || number == EINTR else { throw outputError(number, "cannot be closed", path) }
  }

  func closeQuietly() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
  }

  /// Writes at a place of its own; may be called by several threads, together with nothing else but ``finish(_:)``.
  func write(_ bytes: Bytes, at start: Int) throws {
    if bytes.count > OutputFile.bufferSize, let (file, offset) = bytes.mapping {
      return try copy(file, offset..<(offset + bytes.count), at: start)
    }
    try bytes.withUnsafeBytes { try put($0, at: start) }
  }

  /// Finishes a file that was written by place, of `count` bytes in all.
  func finish(_ count: Int) throws {
    (position, flushed) = (count, count)
    try finish()
  }

  /// Reads a small window of an input by descriptor, so that none of its pages stay in memory.
  private func buffer(_ input: MappedFile, _ offset: Int, _ count: Int) throws {
    if buffer.count + count > OutputFile.bufferSize { try flush() }
    if buffer.capacity == 0 { buffer.reserveCapacity(OutputFile.bufferSize) }
    let start = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: count))
    try buffer.withUnsafeMutableBytes {
      try input.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: $0[start...]))
    }
  }

  /// Lets the disk begin with what was written, so that the sync at the end has little left to wait for.
  private func startWriting() {
    let end = (flushed - OutputFile.openSize) / OutputFile.startedSize * OutputFile.startedSize
    guard end > started else { return }
    sys_start_writing(descriptor, Int64(started), Int64(end - started))
    started = end
  }

  private func flush() throws {
    guard !buffer.isEmpty else { return }
    try buffer.withUnsafeBytes { try put($0) }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes at the end of what is flushed.
  private func put(_ bytes: UnsafeRawBufferPointer) throws {
    try put(bytes, at: flushed)
    flushed += bytes.count
    startWriting()
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
    var done = 0
    while done < bytes.count {
      try Interrupt.check()
      let piece = UnsafeRawBufferPointer(rebasing: bytes[done..<min(bytes.count, done + OutputFile.pieceSize)])
      let count = pwrite(descriptor, piece.baseAddress, piece.count, off_t(start + done))
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw outputError(errno, "cannot be written at byte \(start + done)", path)
      }
    }
  }

  /// Lets the system copy a window of an input whose bytes have the same places in pages of both files; what it cannot
  /// copy goes through memory, and so do other windows: for them the system takes twice as long.
  private func copy(_ input: MappedFile, _ range: Range<Int>, at start: Int) throws {
    let source = try OpenInputs.file(of: input)
    var offset = range.lowerBound
    var place: Int { start + offset - range.lowerBound }
    guard (place - offset) % OutputFile.pageSize == 0 else { return try pump(source, range, at: start) }
    while offset < range.upperBound {
      try Interrupt.check()
      let wanted = min(range.upperBound - offset, 64 << 20)
      let count = sys_copy_range(source.descriptor, Int64(offset), descriptor, Int64(place), Int64(wanted))
      if count > 0 {
        offset += count
      } else if count == 0 {
        throw BessemerError(.inputChanged, "shrank while it was read, at byte \(offset)", file: input.path)
      } else if [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, ETXTBSY, EPERM].contains(errno) {
        return try pump(source, offset..<range.upperBound, at: place)
      } else if errno != EINTR {
        throw outputError(errno, "cannot be written at byte \(place)", path)
      }
    }
  }

  private func pump(_ source: InputFile, _ range: Range<Int>, at start: Int) throws {
    let memory = HeapMemory(byteCount: OutputFile.bufferSize)
    for offset in stride(from: range.lowerBound, to: range.upperBound, by: OutputFile.bufferSize) {
      let count = min(OutputFile.bufferSize, range.upperBound - offset)
      let piece = UnsafeMutableRawBufferPointer(start: memory.base, count: count)
      try source.fill(piece, at: offset)
      try put(UnsafeRawBufferPointer(piece), at: start + offset - range.lowerBound)
    }
  }
}

/// The error for a failed call on an output: a full disk, quota or file size limit, or anything else.
func outputError(_ number: Int32, _ what: String, _ path: String) -> BessemerError {
  let code: ErrorCode = [ENOSPC, EDQUOT, EFBIG].contains(number) ? .diskFull : .outputFailed
  return BessemerError(code, "\(what): \(errorText(number))", file: path)
}
