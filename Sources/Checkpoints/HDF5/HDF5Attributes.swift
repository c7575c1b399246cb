internal import CHDF5
internal import Glibc
internal import Tensors

/// Attributes of HDF5 objects as metadata: those of the root by their names, those of others behind the object's name,
/// `layers/dense@name`. Texts stay as they are; numbers, and arrays of texts and numbers, become JSON.
enum HDF5Attributes {
  /// Elements of an attribute.
  static let maximumElementCount = 1_000_000
  /// Attributes of a file.
  static let maximumCount = 1_000_000

  /// The key of an attribute. A name that would look like one of another object cannot be told from it.
  static func key(_ path: String, _ name: String) -> String { path.isEmpty ? name : path + "@" + name }

  /// The path of the object and the name of the attribute that a key stands for.
  static func parts(_ key: String) -> (path: String, name: String) {
    guard let mark = key.utf8.lastIndex(of: UInt8(ascii: "@")), mark > key.startIndex,
      key.utf8.index(after: mark) < key.endIndex
    else { return ("", key) }
    return (String(key[..<mark]), String(key[key.utf8.index(after: mark)...]))
  }

  /// The elements of an array of texts in JSON; nil for anything else.
  static func texts(_ json: String) -> [String]? {
    guard json.utf8.first == UInt8(ascii: "["), let array = try? JSON.parse(Bytes(json.utf8)), array.kind == .array
    else { return nil }
    let texts = array.elements.compactMap { $0.string }
    return texts.count == array.count ? texts : nil
  }

  /// Reads the attributes of an object. Those that are no texts or numbers, such as references, are left out, and the
  /// mark by which Keras tells bfloat16.
  static func read(_ object: hid_t, _ path: String, into catalog: inout HDF5Catalog, isBFloat16: Bool = false) throws {
    let names = Names()
    let status = h5_attributes(object, names.pointer, Names.visit)
    if let error = names.error { throw error }
    guard status >= 0 else { throw HDF5Walker.failure("the attributes of \(quoted(path)) cannot be read") }
    for (name, _) in names.list {
      let attribute = H5Aopen(object, name, h5_default())
      guard attribute >= 0 else { throw HDF5Walker.failure("attribute \(quoted(key(path, name))) cannot be opened") }
      defer { H5Aclose(attribute) }
      guard let text = try text(attribute) else { continue }
      if isBFloat16, name == "dtype", text == "bfloat16" { continue }
      catalog.metadata.append((key(path, name), text))
      guard catalog.metadata.count <= maximumCount else {
        throw BessemerError(.limit, "more than \(maximumCount) attributes")
      }
    }
  }

  private static func text(_ attribute: hid_t) throws -> String? {
    let (type, space) = (H5Aget_type(attribute), H5Aget_space(attribute))
    defer {
      H5Tclose(type)
      H5Sclose(space)
    }
    let isArray = H5Sget_simple_extent_type(space) == H5S_SIMPLE
    let count = Int(H5Sget_simple_extent_npoints(space))
    guard count >= 0, count <= maximumElementCount, isArray || count == 1 else { return nil }
    if H5Tget_class(type) == H5T_STRING {
      guard let texts = try texts(type, count, { count == 0 || H5Aread(attribute, type, $0) >= 0 }) else { return nil }
      return isArray ? json { for text in texts { $0.value(text) } } : texts.first
    }
    guard let (dtype, _) = HDF5Types.describe(type), !dtype.isComplex, H5Tget_class(type) != H5T_OPAQUE
    else { return nil }
    if dtype.isFloat {
      var values = [Double](repeating: 0, count: count)
      guard count == 0 || H5Aread(attribute, h5_double(), &values) >= 0 else { return nil }
      return isArray ? json { for value in values { $0.value(value) } } : values.first.map { "\($0)" }
    } else {
      var values = [Int64](repeating: 0, count: count)
      let isWide = dtype == .uint64
      // Truth values are an enumeration, which converts to nothing but itself.
      if dtype == .bool {
        var bytes = [Int8](repeating: 0, count: count)
        guard count == 0 || H5Aread(attribute, type, &bytes) >= 0 else { return nil }
        values = bytes.map { Int64($0) }
      } else if count > 0, H5Aread(attribute, isWide ? h5_uint64() : h5_int64(), &values) < 0 {
        return nil
      }
      let texts = values.map { value in
        dtype == .bool ? (value != 0 ? "true" : "false") : isWide ? String(UInt64(bitPattern: value)) : String(value)
      }
      return isArray ? "[" + texts.joined(separator: ",") + "]" : texts.first
    }
  }

  private static func json(_ body: (inout JSONWriter) -> Void) -> String {
    var writer = JSONWriter(.compact)
    writer.array(body)
    return writer.text
  }

  /// The one text of a dataset; nil when it cannot be read.
  static func text(_ type: hid_t, _ read: (UnsafeMutableRawPointer) -> Bool) throws -> String? {
    try texts(type, 1, read)?.first
  }

  /// Reads `count` texts of a type, of fixed or variable length; nil when they cannot be read.
  private static func texts(_ type: hid_t, _ count: Int, _ read: (UnsafeMutableRawPointer) -> Bool) throws -> [String]?
  {
    if H5Tis_variable_str(type) > 0 {
      var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
      guard pointers.withUnsafeMutableBytes({ $0.baseAddress.map(read) ?? true }) else { return nil }
      // The library allocated each text, and ends it with a zero.
      return pointers.map { pointer in
        guard let pointer else { return "" }
        defer { H5free_memory(pointer) }
        return decoded(UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
      }
    }
    let size = H5Tget_size(type)
    guard let total = CheckedSize.product(size, count), total <= HDF5Walker.maximumChunkByteCount else {
      throw BessemerError(.limit, "a text of \(size) bytes")
    }
    var bytes = [UInt8](repeating: 0, count: max(total, 1))
    guard bytes.withUnsafeMutableBytes({ $0.baseAddress.map(read) ?? true }) else { return nil }
    let isPadded = H5Tget_strpad(type) == H5T_STR_SPACEPAD
    return (0..<count).map { index in
      let field = bytes[(index * size)..<((index + 1) * size)]
      let text = isPadded ? field.prefix { _ in true } : field.prefix { $0 != 0 }
      let end = isPadded ? text.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? text.startIndex : text.endIndex
      return decoded(text[text.startIndex..<end])
    }
  }

  /// A text in UTF-8; one that is none is taken for Latin-1.
  private static func decoded(_ bytes: some Collection<UInt8>) -> String {
    String(validating: bytes, as: UTF8.self) ?? String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
  }
}
