/// The opcodes of pickles, protocols 0 to 5. Source: Python's `pickletools`.
enum PickleOpcode: UInt8, CustomStringConvertible {
  case mark = 0x28, emptyTuple = 0x29, stop = 0x2E, pop = 0x30, popMark = 0x31, duplicate = 0x32, bytes32 = 0x42
  case bytes8 = 0x43, float = 0x46, double = 0x47, integer = 0x49, int32 = 0x4A, uint8 = 0x4B, long = 0x4C
  case uint16 = 0x4D, none = 0x4E, persistentText = 0x50, persistent = 0x51, reduce = 0x52, text = 0x53
  case oldText32 = 0x54, oldText8 = 0x55, unicode = 0x56, text32 = 0x58, emptyList = 0x5D, append = 0x61
  case build = 0x62, `global` = 0x63, dictionary = 0x64, appends = 0x65, get = 0x67, get8 = 0x68, instance = 0x69
  case get32 = 0x6A, list = 0x6C, object = 0x6F, put = 0x70, put8 = 0x71, put32 = 0x72, setItem = 0x73
  case tuple = 0x74, setItems = 0x75, emptyDictionary = 0x7D, `protocol` = 0x80, newObject = 0x81
  case extension8 = 0x82, extension16 = 0x83, extension32 = 0x84, tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87
  case `true` = 0x88, `false` = 0x89, long8 = 0x8A, long32 = 0x8B, text8 = 0x8C, text64 = 0x8D, bytes64 = 0x8E
  case emptySet = 0x8F, addItems = 0x90, frozenSet = 0x91, newObjectKeywords = 0x92, stackGlobal = 0x93
  case memoize = 0x94, frame = 0x95, byteArray = 0x96, nextBuffer = 0x97, readOnlyBuffer = 0x98

  /// The name in `pickletools` of an opcode that is refused.
  var description: String {
    switch self {
    case .persistentText: "PERSID"
    case .instance: "INST"
    case .object: "OBJ"
    case .extension8: "EXT1"
    case .extension16: "EXT2"
    case .extension32: "EXT4"
    case .newObjectKeywords: "NEWOBJ_EX"
    case .nextBuffer: "NEXT_BUFFER"
    case .readOnlyBuffer: "READONLY_BUFFER"
    default: "\(rawValue)"
    }
  }
}
