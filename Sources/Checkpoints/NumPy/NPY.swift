public import Tensors

/// NumPy's `.npy` files, versions 1 to 3: little- and big-endian, C and Fortran order.
///
/// Source: NEP 1, `numpy.lib.format`.
public enum NPY {
  /// No header is longer.
  static let maximumHeaderByteCount = 1 << 20
  /// No array has more dimensions.
  static let maximumRank = 32

  /// Reads an array into memory of its own, row-major and little-endian.
  public static func read(path: String) throws -> Tensor {
    try inFile(path) { try parse(MappedFile(path: path).bytes) }
  }

  /// What the header of a `.npy` file says.
  struct Description {
    let dtype: DType
    let isBigEndian: Bool
    let isFortran: Bool
    let shape: [Int]
    /// Where the data starts.
    let dataOffset: Int
    /// The bytes that the data takes.
    let byteCount: Int

    /// Whether the data is as ``Tensor/bytes`` has it.
    var isPlain: Bool { !isBigEndian && !isFortran }

    /// The elements in a whole file.
    func array(in file: Bytes) throws -> StridedArray {
      let strides = isFortran ? StridedArray.fortranStrides(shape) : StridedArray.rowStrides(shape)
      let data = file[dataOffset..<file.count]
      guard let array = StridedArray(data, dtype, shape: shape, strides: strides, isBigEndian: isBigEndian) else {
        throw BessemerError(.tensorLayout, "\(dtype)\(shape) does not take \(data.count) bytes")
      }
      return array
    }
  }

  /// Bytes from the start of a file that hold its header, told by the first ``shortestByteCount``.
  static func headerByteCount(_ start: Bytes) throws -> Int {
    var reader = ByteReader(start)
    guard start.count >= shortestByteCount, start[0..<6].array == magic else {
      throw BessemerError(.wrongFormat, "not a .npy file")
    }
    try reader.skip(6, "the magic")
    let version: UInt8 = try reader.integer(UInt8.self, "the version")
    try reader.skip(1, "the version")
    guard (1...3).contains(version) else {
      throw BessemerError(.unsupportedFeature, ".npy version \(version) is not supported")
    }
    let length =
      version == 1
      ? Int(try reader.integer(UInt16.self, "the header length"))
      : Int(try reader.integer(UInt32.self, "the header length"))
    guard length <= maximumHeaderByteCount else { throw BessemerError(.limit, "a header of \(length) bytes") }
    return reader.byteOffset + length
  }

  /// No file is shorter, whose header describes anything.
  static let shortestByteCount = 12

  /// Reads the header at the start of a file of `fileByteCount` bytes, which its data must fill.
  static func describe(_ start: Bytes, fileByteCount: Int) throws -> Description {
    let end = try headerByteCount(start)
    guard end <= start.count else {
      throw BessemerError(.truncated, "truncated: a .npy header of \(end) bytes, \(start.count) are there")
    }
    var header = NPYHeader(start[(start[6..<7].array == [1] ? 10 : 12)..<end].array)
    let (dtype, isBigEndian, isFortran, shape) = try header.parse()
    guard shape.count <= maximumRank, let count = Tensor.elementCount(of: shape),
      let byteCount = dtype.byteCount(of: count), byteCount == fileByteCount - end
    else {
      throw BessemerError(
        .tensorLayout, "\(dtype)\(shape) does not take the \(fileByteCount - end) bytes that the file has")
    }
    return Description(
      dtype: dtype, isBigEndian: isBigEndian, isFortran: isFortran, shape: shape, dataOffset: end,
      byteCount: byteCount)
  }

  /// The array of a whole file.
  public static func parse(_ bytes: Bytes) throws -> Tensor {
    let description = try describe(bytes, fileByteCount: bytes.count)
    let array = try description.array(in: bytes)
    let data = try Bytes(byteCount: description.byteCount) { target in
      var position = 0
      try array.forEachPiece { piece in
        piece.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: $0) }
        position += piece.count
      }
    }
    return try Tensor(description.dtype, shape: description.shape, bytes: data)
  }

  /// Writes an array as version 1.0, row-major. Types that NumPy lacks are refused.
  public static func write(_ tensor: Tensor, to path: String, overwrite: Bool) throws {
    guard let header = header(tensor.dtype, shape: tensor.shape) else {
      throw BessemerError(.unsupportedType, "NumPy has no type \(tensor.dtype)", file: path)
    }
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: header.count + tensor.bytes.count) { sink in
      try sink.write(header)
      try sink.write(tensor.bytes)
    }
  }

  /// What stands before the data, a multiple of 64 bytes; nil for a type that NumPy lacks, or too many dimensions.
  static func header(_ dtype: DType, shape: [Int]) -> [UInt8]? {
    guard let code = NPYHeader.codes.first(where: { $0.dtype == dtype })?.code, shape.count <= maximumRank else {
      return nil
    }
    let dims = shape.map { String($0) }.joined(separator: ", ") + (shape.count == 1 ? "," : "")
    let endian = dtype.bits == 8 ? "|" : "<"
    var header = "{'descr': '\(endian)\(code)', 'fortran_order': False, 'shape': (\(dims)), }"
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
    let count = header.utf8.count
    return magic + [1, 0, UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)] + header.utf8
  }

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
}

/// The header of a `.npy` file: a Python dictionary of three entries.
struct NPYHeader {
  static let codes: [(code: String, dtype: DType)] = [
    ("f8", .float64), ("f4", .float32), ("f2", .float16), ("i8", .int64), ("i4", .int32), ("i2", .int16), ("i1", .int8),
    ("u8", .uint64), ("u4", .uint32), ("u2", .uint16), ("u1", .uint8), ("b1", .bool), ("c8", .complex64),
    ("c16", .complex128),
  ]

  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func parse() throws -> (dtype: DType, isBigEndian: Bool, isFortran: Bool, shape: [Int]) {
    var descr: String?
    var order: Bool?
    var shape: [Int]?
    try expect("{")
    while !accept("}") {
      let key = try string()
      try expect(":")
      switch key {
      case "descr" where descr == nil:
        if accept("[") || accept("(") {
          throw BessemerError(.unsupportedType, "the array is a structured one, expected numbers of one type")
        }
        descr = try string()
      case "fortran_order" where order == nil:
        if accept("True") {
          order = true
        } else {
          try expect("False")
          order = false
        }
      case "shape" where shape == nil: shape = try tuple()
      default: throw error("unexpected entry \(quoted(key))")
      }
      if !accept(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard at == bytes.count, let descr, let order, let shape else {
      throw error("descr, fortran_order and shape are needed")
    }
    guard let first = descr.first, "<>|=".contains(first) else {
      throw BessemerError(.unsupportedType, "NumPy type \(quoted(descr)) is not supported")
    }
    // Arrays of ml_dtypes.bfloat16 are stored as two bytes without meaning.
    if descr.dropFirst() == "V2" { return (.bfloat16, false, order, shape) }
    guard let code = NPYHeader.codes.first(where: { $0.code == descr.dropFirst() }) else {
      throw BessemerError(.unsupportedType, "NumPy type \(quoted(descr)) is not supported")
    }
    return (code.dtype, first == ">", order, shape)
  }

  private mutating func tuple() throws -> [Int] {
    try expect("(")
    var numbers: [Int] = []
    while !accept(")") {
      skipSpace()
      let start = at
      while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39, at - start < 18 { at += 1 }
      guard let number = Int(String(decoding: bytes[start..<at], as: UTF8.self)) else { throw error("a bad shape") }
      numbers.append(number)
      // As Python 2 wrote it.
      if at < bytes.count, bytes[at] == UInt8(ascii: "L") { at += 1 }
      if !accept(",") {
        try expect(")")
        break
      }
    }
    return numbers
  }

  private mutating func string() throws -> String {
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: "'") || bytes[at] == UInt8(ascii: "\"") else {
      throw error("expected a string")
    }
    let quote = bytes[at]
    let start = at + 1
    at = start
    while at < bytes.count, bytes[at] != quote { at += 1 }
    guard at < bytes.count, let text = String(validating: bytes[start..<at], as: UTF8.self) else {
      throw error("a string does not end")
    }
    at += 1
    return text
  }

  private mutating func skipSpace() { while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A { at += 1 } }

  private mutating func accept(_ text: String) -> Bool {
    skipSpace()
    guard bytes[at...].starts(with: text.utf8) else { return false }
    at += text.utf8.count
    return true
  }

  private mutating func expect(_ text: String) throws { guard accept(text) else { throw error("expected '\(text)'") } }

  private func error(_ message: String) -> BessemerError {
    BessemerError(.header, "in the .npy header at \(at): \(message)")
  }
}
