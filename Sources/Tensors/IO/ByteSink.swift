/// Where the bytes of a file go, in order. Tests replace it by one that fails at a chosen byte.
public protocol ByteSink: AnyObject {
  /// Bytes written so far.
  var position: Int { get }
  /// Appends bytes.
  func write(_ bytes: UnsafeRawBufferPointer) throws
  /// Appends bytes that may be a window of a mapped file; a sink that can lets the system copy them.
  func write(_ bytes: Bytes) throws
}

extension ByteSink {
  public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }
  public func write(_ text: String) throws { try write(Array(text.utf8)) }

  public func write(_ bytes: Bytes) throws {
    try bytes.withUnsafeBytes { raw in
      var done = 0
      while done < raw.count {
        let end = min(raw.count, done + 1 << 20)
        try write(UnsafeRawBufferPointer(rebasing: raw[done..<end]))
        done = end
      }
    }
  }
}
