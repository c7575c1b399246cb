/// Writes one file so that afterwards there is the old one or the complete new one, never anything between.
///
/// A temporary beside the target is created, sized, written, synced and renamed; then the folder is synced. It is
/// removed on any error and on SIGINT, SIGTERM and SIGHUP; what SIGKILL left, the next writer of that file removes.
/// Refused are targets that are an input (also through links), that exist (unless `overwrite`), and that are no regular
/// files. An output that is a symbolic link is replaced itself.
public final class AtomicWriter: ByteSink {
  private let target: OutputTarget
  private let file: OutputFile
  private let overwrite: Bool

  /// `byteCount` is the exact final size, if known. All files that are mapped are inputs; `inputs` are further ones.
  public init(path: String, overwrite: Bool = false, byteCount: Int? = nil, inputs: [FileIdentity] = []) throws {
    target = try OutputTarget(.file, path: path, overwrite: overwrite, inputs: inputs)
    self.overwrite = overwrite
    do { file = try OutputFile(name: target.temporary, in: target.folder, path: path, byteCount: byteCount) } catch {
      target.discard()
      throw error
    }
  }

  public var path: String { target.path }
  public var position: Int { file.position }
  public func write(_ bytes: UnsafeRawBufferPointer) throws { try file.write(bytes) }
  public func write(_ bytes: Bytes) throws { try file.write(bytes) }
  /// Writes over bytes that were written before.
  package func replace(_ bytes: Bytes, at start: Int) throws { try file.replace(bytes, at: start) }

  /// Makes the file durable and puts it in place. After an error nothing of it is left.
  public func commit() throws {
    do {
      try file.finish()
      try target.commit(overwrite: overwrite, exchange: false)
    } catch {
      cancel()
      throw error
    }
  }

  /// Removes what was written. So does `deinit` without a commit.
  public func cancel() {
    file.closeQuietly()
    target.discard()
  }

  deinit { cancel() }

  /// Writes a file by `body`: complete, or not at all when it throws.
  public static func write(
    to path: String, overwrite: Bool = false, byteCount: Int? = nil, inputs: [FileIdentity] = [],
    _ body: (AtomicWriter) throws -> Void
  ) throws {
    let writer = try AtomicWriter(path: path, overwrite: overwrite, byteCount: byteCount, inputs: inputs)
    do { try body(writer) } catch {
      writer.cancel()
      throw error
    }
    try writer.commit()
  }
}
