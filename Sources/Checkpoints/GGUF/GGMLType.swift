internal import Tensors

/// How a tensor is stored, by ggml's number for it.
enum GGMLType: Hashable {
  case plain(DType)
  case blocks(BlockType)

  /// ggml's numbers; those between belonged to types that were removed.
  private static let numbers: [UInt32: GGMLType] = [
    0: .plain(.float32), 1: .plain(.float16), 2: .blocks(.q40), 3: .blocks(.q41), 6: .blocks(.q50), 7: .blocks(.q51),
    8: .blocks(.q80), 10: .blocks(.q2k), 11: .blocks(.q3k), 12: .blocks(.q4k), 13: .blocks(.q5k), 14: .blocks(.q6k),
    15: .blocks(.q8k), 16: .blocks(.iq2xxs), 17: .blocks(.iq2xs), 18: .blocks(.iq3xxs), 19: .blocks(.iq1s),
    20: .blocks(.iq4nl), 21: .blocks(.iq3s), 22: .blocks(.iq2s), 23: .blocks(.iq4xs), 24: .plain(.int8),
    25: .plain(.int16), 26: .plain(.int32), 27: .plain(.int64), 28: .plain(.float64), 29: .blocks(.iq1m),
    30: .plain(.bfloat16), 34: .blocks(.tq10), 35: .blocks(.tq20), 39: .blocks(.mxfp4), 40: .blocks(.nvfp4),
    41: .blocks(.q10), 42: .blocks(.q20),
  ]
  private static let removed: Set<UInt32> = [4, 5, 31, 32, 33, 36, 37, 38]

  /// Throws ``ErrorCode/unsupportedType`` for a number that no file should have.
  init(number: UInt32) throws {
    guard let type = GGMLType.numbers[number] else {
      let reason =
        GGMLType.removed.contains(number)
        ? "which ggml has removed; convert the model anew" : number == 9 ? "q8_1, which is not for files" : "unknown"
      throw BessemerError(.unsupportedType, "ggml type \(number), \(reason)")
    }
    self = type
  }

  /// Nil for an element type that ggml lacks.
  var number: UInt32? { GGMLType.numbers.first { $0.value == self }?.key }

  /// The type of the tensor.
  var dtype: DType {
    switch self {
    case .plain(let dtype): dtype
    case .blocks: .float32
    }
  }

  var layout: WeightLayout {
    switch self {
    case .plain: .rowMajor
    case .blocks(let type): .blocks(type)
    }
  }
}
