internal import Tensors

/// A `TensorProto`: its fields as they stand in the file. Source: `onnx/onnx.proto` of ONNX 1.20.
struct ONNXTensor {
  /// Dimensions of a tensor.
  static let maximumRank = 64

  private(set) var name = ""
  private(set) var dims: [Int] = []
  private(set) var type = 0
  private(set) var raw: Bytes?
  /// The message, from which numbers in fields of their own are read, and the number of that field.
  private let message: ByteReader
  private var numberField: Int?
  private(set) var externalData: [(key: String, value: String)] = []
  private var isExternal = false
  /// Fields with data that hold anything.
  private var dataFields: Set<Int> = []

  /// The type of texts.
  static let textType = 8

  /// Types by number. Texts, and numbers of 2 bits, have none here.
  private static let types: [Int: DType] = [
    1: .float32, 2: .uint8, 3: .int8, 4: .uint16, 5: .int16, 6: .int32, 7: .int64, 9: .bool, 10: .float16,
    11: .float64, 12: .uint32, 13: .uint64, 14: .complex64, 15: .complex128, 16: .bfloat16, 17: .float8e4m3fn,
    18: .float8e4m3fnuz, 19: .float8e5m2, 20: .float8e5m2fnuz, 21: .uint4, 22: .int4, 23: .float4e2m1,
    24: .float8e8m0,
  ]

  init(_ message: ByteReader) throws {
    self.message = message
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .varint(let dim)): try add(dim)
      case (1, .bytes(var packed)): while !packed.isAtEnd { try add(packed.varint("a dimension")) }
      case (2, .varint(let number)): type = Int(truncatingIfNeeded: number)
      case (3, _): throw BessemerError(.unsupportedFeature, "a tensor is stored in segments")
      case (8, .bytes(var text)): name = try text.text(text.remaining, "the name of a tensor")
      case (9, .bytes(var content)):
        dataFields.insert(9)
        raw = try content.take(content.remaining, "data")
      case (4, _), (5, _), (6, _), (7, _), (10, _), (11, _):
        if case .bytes(let content) = value, number != 6, content.isAtEnd { continue }
        dataFields.insert(number)
        numberField = number
      case (13, .bytes(let entry)): try addExternal(entry)
      case (14, .varint(let location)): isExternal = location == 1
      default: break
      }
    }
    guard dataFields.count <= 1, !isExternal || dataFields.isEmpty else {
      throw refuse(.tensorEntry, "has data in several places")
    }
    guard name.utf8.count <= 4096 else { throw BessemerError(.limit, "a name of \(name.utf8.count) bytes") }
  }

  private mutating func add(_ dim: UInt64) throws {
    guard let size = Int(exactly: dim) else {
      throw BessemerError(.tensorEntry, "a dimension is \(Int64(bitPattern: dim)), expected 0 or more")
    }
    guard dims.count < ONNXTensor.maximumRank else {
      throw BessemerError(.limit, "a tensor has more than \(ONNXTensor.maximumRank) dimensions")
    }
    dims.append(size)
  }

  private mutating func addExternal(_ entry: ByteReader) throws {
    var (key, text) = ("", "")
    var fields = WireReader(entry)
    while let (number, value) = try fields.next() {
      guard case .bytes(var content) = value else { continue }
      if number == 1 { key = try content.text(content.remaining, "a key") }
      if number == 2 { text = try content.text(content.remaining, "a value") }
    }
    guard externalData.count < 64, !externalData.contains(where: { $0.key == key }) else {
      throw BessemerError(.duplicateName, "the entry \(quoted(key)) of external data occurs twice")
    }
    externalData.append((key, text))
  }

  func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
    BessemerError(code, "tensor \(quoted(name)) \(what)")
  }

  // MARK: Elements

  /// The type; throws ``ErrorCode/unsupportedType`` for one that tensors here do not have.
  func dtype() throws -> DType {
    guard let dtype = ONNXTensor.types[type] else {
      throw refuse(
        .unsupportedType, type == ONNXTensor.textType ? "holds texts, expected numbers" : "is of unknown type \(type)")
    }
    return dtype
  }

  /// The bytes of the tensor as ``Tensor/bytes`` has them, as one window or piece by piece; everything about them is
  /// checked first. `external` opens what the tensor says of another file.
  func content(_ external: ([(key: String, value: String)], Int) throws -> Bytes) throws -> ONNXContent {
    let dtype = try dtype()
    guard let count = Tensor.elementCount(of: dims) else {
      throw refuse(.tensorLayout, "has the shape \(dims), which is out of limits")
    }
    guard let byteCount = dtype.byteCount(of: count) else {
      throw refuse(.unsupportedType, "has \(count) elements of \(dtype.bits) bits, which is no whole number of bytes")
    }
    if isExternal {
      do { return .window(try external(externalData, byteCount)) } catch let error as BessemerError {
        throw BessemerError(error.code, "tensor \(quoted(name)): \(error.message)")
      }
    }
    guard let field = numberField else {
      let window = raw ?? Bytes([])
      guard window.count == byteCount else {
        throw refuse(.tensorLayout, "of type \(TensorType(dtype, shape: dims)) does not take \(window.count) bytes")
      }
      return .window(window)
    }
    let numbers = ONNXNumbers(message: message, field: field, dtype: dtype)
    guard numbers.isOfType else { throw refuse(.tensorEntry, "of type \(dtype) has its data in the wrong field") }
    var found = 0
    do { try numbers.forEachPiece { found += $0.count } } catch let error as BessemerError {
      throw BessemerError(error.code, "tensor \(quoted(name)): \(error.message)")
    }
    guard found == byteCount else {
      throw refuse(.tensorLayout, "of type \(TensorType(dtype, shape: dims)) does not take \(found) bytes")
    }
    return .numbers(numbers)
  }
}

/// The bytes of a tensor.
enum ONNXContent {
  case window(Bytes)
  case numbers(ONNXNumbers)

  func entry(_ name: TensorName, _ dtype: DType, shape: [Int], file: String) -> TensorStore.Entry {
    switch self {
    case .window(let bytes): TensorStore.Entry(name, dtype, shape: shape, file: file) { bytes }
    case .numbers(let numbers):
      TensorStore.Entry(name, dtype, shape: shape, file: file) { try numbers.forEachPiece($0) }
    }
  }

  func forEachPiece(_ body: (Bytes) throws -> Void) throws {
    switch self {
    case .window(let bytes): try body(bytes)
    case .numbers(let numbers): try numbers.forEachPiece(body)
    }
  }
}

/// Elements that stand as numbers in a field of their kind instead of as raw bytes.
struct ONNXNumbers: Sendable {
  let message: ByteReader
  let field: Int
  let dtype: DType

  private static let pieceSize = 1 << 20

  /// Whether elements of this type may stand in this field.
  var isOfType: Bool {
    switch field {
    case 4: dtype == .float32 || dtype == .complex64
    case 5: ![.float32, .float64, .int64, .uint32, .uint64, .complex64, .complex128].contains(dtype)
    case 7: dtype == .int64
    case 10: dtype == .float64 || dtype == .complex128
    case 11: dtype == .uint32 || dtype == .uint64
    default: false
    }
  }

  /// Bytes that a number makes: an element, a part of a complex one, or two elements of 4 bits.
  private var numberByteCount: Int { max(dtype.bits / (dtype.isComplex ? 16 : 8), 1) }

  /// Gives the bytes in order: windows of the file where the numbers lie as they should, else at most 1 MB at a time.
  func forEachPiece(_ body: (Bytes) throws -> Void) throws {
    var buffer: [UInt8] = []
    func flush() throws {
      try Interrupt.check()
      if !buffer.isEmpty { try body(Bytes(buffer)) }
      buffer.removeAll(keepingCapacity: true)
    }
    func append(_ value: UInt64) throws {
      for k in 0..<numberByteCount { buffer.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(k)))) }
      if buffer.count >= ONNXNumbers.pieceSize { try flush() }
    }
    let isFloat = field == 4 || field == 10
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard number == field else { continue }
      switch value {
      case .varint(let value) where !isFloat: try append(checked(value))
      case .fixed32(let value) where field == 4: try append(UInt64(value))
      case .fixed64(let value) where field == 10: try append(value)
      case .bytes(var packed) where isFloat:
        try flush()
        guard packed.remaining % numberByteCount == 0 else {
          throw BessemerError(.tensorLayout, "its numbers take \(packed.remaining) bytes")
        }
        try body(packed.take(packed.remaining, "numbers"))
      case .bytes(var packed): while !packed.isAtEnd { try append(checked(packed.varint("a number"))) }
      default: throw BessemerError(.tensorEntry, "its numbers are of another kind than their field")
      }
    }
    try flush()
  }

  /// A number that the type holds; floats stand as their bits.
  private func checked(_ value: UInt64) throws -> UInt64 {
    let number = Int64(bitPattern: value)
    let isHeld: Bool
    switch dtype {
    case .int64, .uint64: isHeld = true
    case .bool: isHeld = value <= 1
    case .int4, .uint4: isHeld = (-128...255).contains(number)
    case _ where dtype.isFloat: isHeld = value < 1 << UInt64(8 * numberByteCount)
    default:
      guard let range = dtype.integerRange else { return value }
      isHeld = range.least < 0 ? (range.least...Int64(range.greatest)).contains(number) : value <= range.greatest
    }
    guard isHeld else { throw BessemerError(.tensorEntry, "the number \(number) is none of \(dtype)") }
    return value
  }
}
