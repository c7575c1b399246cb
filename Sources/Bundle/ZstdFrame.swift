import CZstd
import Tensors

/// One zstd frame of a tensor's bytes, whose planes (all first bytes of the elements, then all second ones, …) are
/// split: signs and exponents lie side by side and compress, fractions do not and cost nothing.
enum ZstdFrame {
  /// Part of the format of a bundle only in that the same input gives the same bytes.
  static let level: Int32 = 3

  /// How many planes the elements of a type have.
  static func planeCount(_ dtype: DType) -> Int { [16, 32, 64].contains(dtype.bits) ? dtype.bits / 8 : 1 }

  /// The most bytes that a frame of `byteCount` bytes takes.
  static func bound(_ byteCount: Int) -> Int { ZSTD_compressBound(byteCount) }

  /// Splits `count` elements of `planes` bytes each.
  static func split(_ source: UnsafeRawBufferPointer, planes: Int, into target: UnsafeMutableRawBufferPointer) {
    precondition(source.count == target.count && source.count % planes == 0)
    transpose(source, shape: (source.count / planes, planes), into: target)
  }

  /// The inverse of ``split(_:planes:into:)``.
  static func join(_ source: UnsafeRawBufferPointer, planes: Int, into target: UnsafeMutableRawBufferPointer) {
    precondition(source.count == target.count && source.count % planes == 0)
    transpose(source, shape: (planes, source.count / planes), into: target)
  }

  private static func transpose(
    _ source: UnsafeRawBufferPointer, shape: (rows: Int, columns: Int), into target: UnsafeMutableRawBufferPointer
  ) {
    guard let input = source.baseAddress, let output = target.baseAddress else { return }
    // A matrix of bytes; both buffers hold exactly rows × columns of them.
    copyStrided(
      elementByteCount: 1, shape: [shape.columns, shape.rows], to: output, [shape.rows, 1], from: input,
      [1, shape.columns])
  }
}

/// A compressor of frames, reused.
final class ZstdCompressor {
  private let context: OpaquePointer

  init() throws {
    guard let context = ZSTD_createCCtx() else { throw BessemerError(.memory, "no memory for a compressor") }
    self.context = context
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZstdFrame.level)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
  }

  deinit { ZSTD_freeCCtx(context) }

  /// Compresses `source`; returns the bytes of `target`, which has room for ``ZstdFrame/bound(_:)``, that were used.
  func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws -> Int {
    let count = ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
    guard ZSTD_isError(count) == 0 else { throw BessemerError(.outputFailed, "zstd: \(zstdError(count))") }
    return count
  }
}

/// A decompressor of frames, reused.
final class ZstdDecompressor {
  private let context: OpaquePointer

  init() throws {
    guard let context = ZSTD_createDCtx() else { throw BessemerError(.memory, "no memory for a decompressor") }
    self.context = context
    // Frames are decompressed in one step straight into memory of known size; no window is ever allocated.
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27)
  }

  deinit { ZSTD_freeDCtx(context) }

  /// Fills `target` from exactly one frame, of exactly that size, with a checksum that must be right.
  func decompress(_ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws {
    guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else {
      throw BessemerError(.bundle, "\(frame.count) bytes are not one zstd frame")
    }
    let declared = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
    guard declared == UInt64(target.count), frame.count > 4, frame[4] & 4 != 0 else {
      throw BessemerError(.bundle, "a zstd frame without checksum or of another size than \(target.count)")
    }
    let count = ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
    guard ZSTD_isError(count) == 0, count == target.count else {
      throw BessemerError(.digest, "a compressed frame is damaged: \(zstdError(count))")
    }
  }
}

private func zstdError(_ code: Int) -> String { ZSTD_getErrorName(code).map { String(cString: $0) } ?? "error" }
