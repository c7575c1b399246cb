public import Tensors

/// The header of a safetensors file: which tensor stands where, and the text metadata.
///
/// A header can only be had validated: data ranges start at zero, follow each other without hole or overlap, end with
/// the file, and are exactly as long as type and shape say. The same check serves reading and writing.
///
/// What safetensors 0.8.0 accepts is accepted, but for: duplicate keys, members of an entry other than the three,
/// entries written as arrays, a null `__metadata__`, more than ``maxRank`` dimensions, and shapes whose dimensions
/// other than zero multiply to more than 2^48.
public struct SafetensorsHeader: Sendable, Equatable {
  /// A tensor of the file.
  public struct Entry: Sendable, Equatable {
    public let name: TensorName
    public let dtype: DType
    public let shape: [Int]
    /// Bytes of the tensor, counted from the start of the data.
    public let range: Range<Int>

    public init(_ name: TensorName, _ dtype: DType, shape: [Int], range: Range<Int>) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      self.range = range
    }
  }

  /// Bytes of header text that the format allows.
  public static let maxTextByteCount = 100_000_000
  /// Dimensions of a tensor.
  public static let maxRank = 32
  /// Tensors of a file.
  public static let maxTensorCount = 1_000_000
  /// The key of the text metadata.
  static let metadataKey = "__metadata__"

  /// The tensors in the order of their data.
  public let entries: [Entry]
  public let metadata: [TensorName: String]

  /// Throws ``ErrorCode/tensorLayout`` or another code when the entries do not tile `dataByteCount` bytes.
  public init(_ entries: [Entry], metadata: [TensorName: String], dataByteCount: Int) throws {
    // Tensors without bytes may share an offset with their successor, which they then precede.
    let isSorted = zip(entries, entries.dropFirst()).allSatisfy {
      ($0.range.lowerBound, $0.range.upperBound) <= ($1.range.lowerBound, $1.range.upperBound)
    }
    self.entries =
      isSorted
      ? entries
      : entries.enumerated().sorted { a, b in
        (a.element.range.lowerBound, a.element.range.upperBound, a.offset)
          < (b.element.range.lowerBound, b.element.range.upperBound, b.offset)
      }.map(\.element)
    self.metadata = metadata
    try validate(dataByteCount: dataByteCount)
  }

  /// Parses the text of a header. `dataByteCount` is the number of bytes that follow it in the file.
  public init(text: Bytes, dataByteCount: Int) throws {
    let root = try JSON.parse(text, limits: JSON.Limits(nodeCount: 20 * SafetensorsHeader.maxTensorCount))
    guard root.kind == .object else { throw root.mismatch("an object of tensors", code: .header) }
    var entries: [Entry] = []
    entries.reserveCapacity(root.count)
    var metadata: [TensorName: String] = [:]
    for (name, value) in root.members {
      if name == SafetensorsHeader.metadataKey {
        metadata = try SafetensorsHeader.metadata(value)
      } else {
        entries.append(try Entry(name, value))
      }
    }
    try self.init(entries, metadata: metadata, dataByteCount: dataByteCount)
  }

  private static func metadata(_ value: JSON) throws -> [TensorName: String] {
    guard value.kind == .object else { throw value.mismatch("an object of strings", code: .header) }
    var metadata: [TensorName: String] = [:]
    for (key, member) in value.members {
      guard let text = member.string else { throw member.mismatch("a string", code: .header) }
      metadata[TensorName(key)] = text
    }
    return metadata
  }

  private func validate(dataByteCount: Int) throws {
    guard entries.count <= SafetensorsHeader.maxTensorCount else {
      throw BessemerError(.limit, "\(entries.count) tensors, at most \(SafetensorsHeader.maxTensorCount) are read")
    }
    var end = 0
    for entry in entries {
      try entry.validate()
      let begin = entry.range.lowerBound
      guard begin == end else {
        let fault = begin < end ? "overlaps the tensor before it" : "leaves a hole of \(begin - end) bytes before it"
        throw BessemerError(
          .tensorLayout, "tensor \(quoted(entry.name.string)) \(fault), expected it at data byte \(end), found \(begin)"
        )
      }
      end = entry.range.upperBound
    }
    guard end <= dataByteCount else {
      throw BessemerError(.truncated, "truncated: \(dataByteCount) bytes of data, the header describes \(end)")
    }
    guard end == dataByteCount else {
      throw BessemerError(
        .tensorLayout, "\(dataByteCount - end) bytes after the last tensor, which ends at data byte \(end)")
    }
  }

  /// The text that describes these tensors, padded with spaces so that the data starts at a multiple of `alignment`.
  func text(alignment: Int) -> [UInt8] {
    var json = JSONWriter(.compact)
    json.object { json in
      if !metadata.isEmpty {
        json.object(SafetensorsHeader.metadataKey) { json in
          for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { json.member(key.string, value) }
        }
      }
      for entry in entries {
        json.object(entry.name.string) { json in
          json.member("dtype", entry.dtype.safetensorsName ?? "")
          json.array("shape", entry.shape)
          json.array("data_offsets", [entry.range.lowerBound, entry.range.upperBound])
        }
      }
    }
    let padding = (alignment - (8 + json.utf8.count) % alignment) % alignment
    return json.utf8 + [UInt8](repeating: UInt8(ascii: " "), count: padding)
  }
}

extension SafetensorsHeader.Entry {
  /// Reads one entry; what it says is not validated yet, but its range is one.
  fileprivate init(_ name: String, _ json: JSON) throws {
    func refuse(_ what: String, code: ErrorCode = .tensorEntry) -> BessemerError {
      BessemerError(code, "tensor \(quoted(name)) \(what) (entry at byte \(json.byteOffset) of the header)")
    }
    guard json.kind == .object else {
      throw refuse("is \(json.summary), expected an object with dtype, shape and data_offsets")
    }
    guard let dtypeName = json["dtype"], let shape = json["shape"], let offsets = json["data_offsets"] else {
      let missing = ["dtype", "shape", "data_offsets"].first { json[$0] == nil } ?? ""
      throw refuse("lacks \(missing)")
    }
    guard json.count == 3 else {
      let surplus = json.members.first { !["dtype", "shape", "data_offsets"].contains($0.key) }?.key ?? ""
      throw refuse("has an unknown member \(quoted(surplus))")
    }
    guard let spelling = dtypeName.string else { throw refuse("has \(dtypeName.summary) as dtype, expected a string") }
    guard let dtype = DType(safetensorsName: spelling) else {
      throw refuse("has the unknown dtype \(quoted(spelling))", code: .unsupportedType)
    }
    guard shape.kind == .array else { throw refuse("has \(shape.summary) as shape, expected an array") }
    guard shape.count <= SafetensorsHeader.maxRank else {
      throw refuse("has \(shape.count) dimensions, at most \(SafetensorsHeader.maxRank) are read", code: .limit)
    }
    var dims: [Int] = []
    dims.reserveCapacity(shape.count)
    for dim in shape.elements {
      guard let size = dim.int, size >= 0 else {
        throw refuse("has \(dim.summary) as a dimension, expected a whole number from 0 to 2^48")
      }
      dims.append(size)
    }
    guard offsets.kind == .array, offsets.count == 2, let begin = offsets[0]?.int, let end = offsets[1]?.int, begin >= 0
    else { throw refuse("has no data_offsets of the form [begin, end]") }
    guard begin <= end else {
      throw refuse("has data_offsets [\(begin), \(end)], which end before they begin", code: .tensorLayout)
    }
    self.init(TensorName(name), dtype, shape: dims, range: begin..<end)
  }

  /// Throws unless the range is as long as type and shape say.
  fileprivate func validate() throws {
    let type = TensorType(dtype, shape: shape)
    guard shape.count <= SafetensorsHeader.maxRank else {
      throw BessemerError(
        .limit,
        "tensor \(quoted(name.string)) has \(shape.count) dimensions, at most \(SafetensorsHeader.maxRank) are read")
    }
    guard dtype.safetensorsName != nil else {
      throw BessemerError(
        .unsupportedType, "tensor \(quoted(name.string)): safetensors files cannot hold \(dtype.longName)")
    }
    guard let byteCount = Tensor.byteCount(dtype, shape: shape) else {
      throw BessemerError(
        .tensorLayout,
        "tensor \(quoted(name.string)) of type \(type) is beyond 2^48 elements or no whole number of bytes")
    }
    guard byteCount == range.count else {
      throw BessemerError(
        .tensorLayout,
        "tensor \(quoted(name.string)) of type \(type) takes \(byteCount) bytes, its data_offsets span \(range.count)")
    }
  }
}
