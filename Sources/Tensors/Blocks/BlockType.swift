/// An encoding of float32 numbers in blocks of equal size: some bits for each number, and scales for all of a block.
///
/// These are ggml's, and a tensor's rows hold whole blocks. The raw value is ggml's name in lower case.
public enum BlockType: String, Sendable, CaseIterable {
  case q10 = "q1_0"
  case q20 = "q2_0"
  case q40 = "q4_0"
  case q41 = "q4_1"
  case q50 = "q5_0"
  case q51 = "q5_1"
  case q80 = "q8_0"
  case q2k = "q2_k"
  case q3k = "q3_k"
  case q4k = "q4_k"
  case q5k = "q5_k"
  case q6k = "q6_k"
  case q8k = "q8_k"
  case iq1s = "iq1_s"
  case iq1m = "iq1_m"
  case iq2xxs = "iq2_xxs"
  case iq2xs = "iq2_xs"
  case iq2s = "iq2_s"
  case iq3xxs = "iq3_xxs"
  case iq3s = "iq3_s"
  case iq4nl = "iq4_nl"
  case iq4xs = "iq4_xs"
  case tq10 = "tq1_0"
  case tq20 = "tq2_0"
  case mxfp4
  case nvfp4

  /// Numbers of a block.
  public var elementCount: Int { size.elements }
  /// Bytes of a block.
  public var byteCount: Int { size.bytes }

  private var size: (elements: Int, bytes: Int) {
    switch self {
    case .q10: (128, 18)
    case .q20: (64, 18)
    case .q40: (32, 18)
    case .q41: (32, 20)
    case .q50: (32, 22)
    case .q51: (32, 24)
    case .q80: (32, 34)
    case .q2k: (256, 84)
    case .q3k: (256, 110)
    case .q4k: (256, 144)
    case .q5k: (256, 176)
    case .q6k: (256, 210)
    case .q8k: (256, 292)
    case .iq1s: (256, 50)
    case .iq1m: (256, 56)
    case .iq2xxs: (256, 66)
    case .iq2xs: (256, 74)
    case .iq2s: (256, 82)
    case .iq3xxs: (256, 98)
    case .iq3s: (256, 110)
    case .iq4nl: (32, 18)
    case .iq4xs: (256, 136)
    case .tq10: (256, 54)
    case .tq20: (256, 66)
    case .mxfp4: (32, 17)
    case .nvfp4: (64, 36)
    }
  }

  /// Bytes of all blocks of a tensor; nil when its shape is out of limits or its rows are no whole blocks.
  public func byteCount(shape: [Int]) -> Int? {
    guard let count = Tensor.elementCount(of: shape), let width = shape.last, width % elementCount == 0 else {
      return nil
    }
    // A block takes less than two bytes a number, so the product cannot overflow.
    return count / elementCount * byteCount
  }
}
