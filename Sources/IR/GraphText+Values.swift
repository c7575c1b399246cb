import Tensors

/// Types, attributes and constants in a graph's text.
extension GraphParser {
  mutating func type() throws -> TensorType {
    skipSpace()
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "]") { at += 1 }
    at = min(at + 1, bytes.count)
    let key = TextKey(bytes, start..<at)
    if let type = types.value(for: key, in: bytes) { return type }
    at = start
    let type = try parseType()
    types.insert(type, for: key)
    return type
  }

  private mutating func parseType() throws -> TensorType {
    let start = at
    let name = try word()
    guard let dtype = DType(rawValue: name) else { throw error("unknown type \(quoted(name))") }
    try expect("[")
    var dims: [Dim] = []
    if !accept("]") {
      repeat {
        skipSpace()
        token = at
        while at < bytes.count, bytes[at] != UInt8(ascii: ","), bytes[at] != UInt8(ascii: "]"),
          at - token <= Dim.maximumSymbolLength
        { at += 1 }
        guard let text = String(validating: bytes[token..<at], as: UTF8.self), let dim = dimension(text) else {
          throw error("bad dimension")
        }
        dims.append(dim)
      } while accept(",") && dims.count <= TensorType.maximumRank
      try expect("]")
    }
    token = start
    let type = TensorType(dtype, dims)
    guard type.isWithinLimits else { throw error("too many dimensions or elements") }
    return type
  }

  private func dimension(_ text: String) -> Dim? {
    let dim = Int(text).map { Dim.known($0) } ?? .symbol(text)
    guard !text.isEmpty, dim.isWithinLimits else { return nil }
    return
      text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"),
          UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "."):
          true
        default: false
        }
      } ? dim : nil
  }

  mutating func attributes() throws -> Attributes {
    try expect("{")
    var result: Attributes = [:]
    if accept("}") { return result }
    repeat {
      let name = try word()
      try expect("=")
      guard result[name] == nil else { throw error("attribute \(name) twice") }
      result[name] = try attribute()
    } while accept(",")
    try expect("}")
    return result
  }

  /// Moves past a brace-enclosed list, minding strings.
  mutating func skipAttributes() throws {
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\"") {
        _ = try string()
        continue
      }
      at += 1
      if bytes[at - 1] == UInt8(ascii: "}") { return }
    }
    throw error("an attribute list does not end")
  }

  private mutating func attribute() throws -> Attribute {
    skipSpace()
    guard at < bytes.count else { throw error("expected an attribute's value") }
    switch bytes[at] {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "["):
      at += 1
      if accept("]") { return .ints([]) }
      var numbers: [Attribute] = []
      repeat { numbers.append(try number()) } while accept(",")
      try expect("]")
      let ints = numbers.compactMap { if case .int(let x) = $0 { x } else { nil } }
      if ints.count == numbers.count { return .ints(ints) }
      return .floats(
        numbers.map {
          switch $0 {
          case .int(let x): Double(x)
          case .float(let x): x
          default: .nan
          }
        })
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default:
      let start = at
      let name = try word()
      switch name {
      case "true": return .bool(true)
      case "false": return .bool(false)
      case "inf", "nan":
        at = start
        return try number()
      default:
        at = start
        return .tensor(try tensor())
      }
    }
  }

  private mutating func number() throws -> Attribute {
    let text = try numberText()
    if let value = Int(text) { return .int(value) }
    guard let value = Double(text) else { throw error("bad number \(quoted(text))") }
    return .float(value)
  }

  private mutating func numberText() throws -> String {
    skipSpace()
    token = at
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        at += 1
        continue
      default: break
      }
      break
    }
    guard at > token, at - token <= 64 else { throw error("expected a number") }
    return String(decoding: bytes[token..<at], as: UTF8.self)
  }

  /// A tensor: `f32[2](1.0,2.0)`, or `f32[2](0x…)` with the bytes in hexadecimal.
  mutating func tensor() throws -> Tensor {
    skipSpace()
    let start = at
    let type = try type()
    token = start
    guard let shape = type.shape, let count = Tensor.elementCount(of: shape), count <= bytes.count - at,
      let byteCount = type.dtype.byteCount(of: count)
    else { throw error("a constant needs a known shape and all its values") }
    try expect("(")
    if at + 1 < bytes.count, bytes[at] == UInt8(ascii: "0"), bytes[at + 1] == UInt8(ascii: "x") {
      at += 2
      token = at
      while at < bytes.count, bytes[at] != UInt8(ascii: ")") { at += 1 }
      let raw = stride(from: token, to: at - 1, by: 2).compactMap {
        String(validating: bytes[$0..<$0 + 2], as: UTF8.self).flatMap { UInt8($0, radix: 16) }
      }
      guard at - token == 2 * byteCount, raw.count == byteCount else {
        throw error("expected \(byteCount) bytes in hexadecimal")
      }
      try expect(")")
      return try Tensor(type.dtype, shape: shape, bytes: Bytes(raw))
    }
    var doubles: [Double] = []
    var integers: [Int64] = []
    if !accept(")") {
      repeat {
        let text = try numberText()
        if type.dtype.isInteger {
          guard let value = integer(text, type.dtype) else { throw error("\(quoted(text)) is no \(type.dtype)") }
          integers.append(value)
        } else {
          let value = type.dtype == .float32 ? Float(text).map { Double($0) } : Double(text)
          guard let value else { throw error("bad number \(quoted(text))") }
          doubles.append(value)
        }
      } while accept(",")
      try expect(")")
    }
    token = start
    guard doubles.count + integers.count == count else {
      throw error("expected \(count) values, found \(doubles.count + integers.count)")
    }
    if type.dtype.isInteger { return try Tensor(type.dtype, shape: shape, wrapping: integers) }
    return try Tensor(type.dtype, shape: shape, doubles: doubles)
  }

  /// The bits of a whole number that is in the range of the type, or nil.
  private func integer(_ text: String, _ dtype: DType) -> Int64? {
    if dtype == .uint64 { return UInt64(text).map { Int64(bitPattern: $0) } }
    guard let value = Int64(text), let range = dtype.integerRange, value >= range.least,
      value <= Int64(clamping: range.greatest)
    else { return nil }
    return value
  }
}
