internal import CKernels

extension BlockType {
  /// The encodings that tensors can be given here.
  public static let writable: [BlockType] = allCases.filter { $0.kernelType != nil }

  /// Encodes whole blocks of float32 numbers, as ggml's reference encoders do without an importance matrix, byte for
  /// byte. `blocks` takes exactly these. Returns the number of blocks that do not hold their numbers: one was not
  /// finite, or too large for the float16 scales.
  public func encode(_ floats: UnsafeRawBufferPointer, to blocks: UnsafeMutableRawBufferPointer) -> Int {
    let count = blocks.count / byteCount
    guard let type = kernelType else { preconditionFailure("no encoder of \(rawValue)") }
    precondition(
      blocks.count == count * byteCount && floats.count == count * elementCount * 4, "the target has another size")
    guard count > 0, let input = floats.baseAddress else { return 0 }
    precondition(UInt(bitPattern: input) % 4 == 0, "floats are not aligned")
    // Both buffers hold `count` blocks, as checked above.
    return count - bk_encode_blocks(type, blocks.baseAddress, input.assumingMemoryBound(to: Float.self), count)
  }

  /// The kernels' name of an encoding.
  private var kernelType: bk_blocks? {
    switch self {
    case .q40: BK_Q4_0
    case .q41: BK_Q4_1
    case .q50: BK_Q5_0
    case .q51: BK_Q5_1
    case .q80: BK_Q8_0
    case .q2k: BK_Q2_K
    case .q3k: BK_Q3_K
    case .q4k: BK_Q4_K
    case .q5k: BK_Q5_K
    case .q6k: BK_Q6_K
    case .q8k: BK_Q8_K
    default: nil
    }
  }
}
