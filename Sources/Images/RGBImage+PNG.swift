internal import CPNG
public import Tensors

/// Pictures as PNG files. Read is every kind: palettes, gray, few bits and interlaced ones, 16 bits rounded to 8,
/// transparency dropped. Written are 8 bits of each color; the same pixels give the same bytes.
extension RGBImage {
  /// Bytes of a file that are read.
  public static let maximumFileByteCount = 256 << 20
  /// Pixels of a file: those of 8192 × 8192.
  public static let maximumFilePixelCount = 1 << 26
  /// A byte of a file gives at most so many pixels, one bit each, as deflate repeats no byte more often.
  private static let maximumPixelsPerByte = 8 * 1032

  /// The version of libpng.
  public static var libraryVersion: String { String(cString: cpng_version()) }

  /// Reads a file.
  public init(pngAt path: String) throws {
    let bytes = try InputFile.contents(of: path, limit: RGBImage.maximumFileByteCount)
    self = try inFile(path) { try RGBImage(png: bytes) }
  }

  /// Decodes the content of a file. Throws ``ErrorCode/wrongFormat`` for what is no PNG, ``ErrorCode/image`` for a
  /// damaged one, ``ErrorCode/limit`` for one that is too large, or larger than its bytes can say.
  public init(png bytes: Bytes) throws {
    var (width, height) = (UInt32(0), UInt32(0))
    let isPNG = bytes.withUnsafeBytes { cpng_size($0.baseAddress, $0.count, &width, &height) }
    guard isPNG else { throw BessemerError(.wrongFormat, "is no PNG picture") }
    let (count, overflow) = Int(width).multipliedReportingOverflow(by: Int(height))
    guard width > 0, height > 0, !overflow, count <= RGBImage.maximumFilePixelCount else {
      throw BessemerError(
        .limit, "a picture of \(width) × \(height) pixels, at most \(RGBImage.maximumFilePixelCount) are read")
    }
    guard count / RGBImage.maximumPixelsPerByte <= bytes.count else {
      throw BessemerError(.image, "\(width) × \(height) pixels cannot be in a file of \(bytes.count) bytes")
    }
    var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE))
    var isRead = false
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * count) { pixels, filled in
      isRead = bytes.withUnsafeBytes {
        cpng_read($0.baseAddress, $0.count, width, height, pixels.baseAddress, &message)
      }
      filled = isRead ? 3 * count : 0
    }
    guard isRead else { throw BessemerError(.image, "the picture is damaged: \(RGBImage.text(message))") }
    try self.init(width: Int(width), height: Int(height), pixels: pixels)
  }

  /// The content of a file.
  public func png() throws -> [UInt8] {
    let sink = Sink()
    var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE))
    let isWritten = cpng_write(
      pixels, UInt32(width), UInt32(height),
      { context, bytes, count in
        guard let context, let bytes else { return false }
        // The sink lives until the call below returns.
        Unmanaged<Sink>.fromOpaque(context).takeUnretainedValue().bytes
          .append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
        return true
      }, Unmanaged.passUnretained(sink).toOpaque(), &message)
    guard isWritten else {
      throw BessemerError(.outputFailed, "the picture cannot be encoded: \(RGBImage.text(message))")
    }
    return sink.bytes
  }

  /// Writes a file, whole or not at all.
  public func write(pngTo path: String, overwrite: Bool) throws {
    let bytes = try png()
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: bytes.count) { try $0.write(bytes) }
  }

  private final class Sink { var bytes: [UInt8] = [] }

  private static func text(_ message: [CChar]) -> String {
    escaped(String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), limit: 100)
  }
}
