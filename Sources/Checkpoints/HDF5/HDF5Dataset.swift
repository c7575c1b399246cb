internal import Tensors

/// A tensor of an HDF5 file as the structure of the file describes it, and its form on the way between two processes.
struct HDF5Dataset {
  /// A stored chunk.
  struct Chunk {
    /// Its place among all chunks, in row-major order.
    let index: Int
    let byteOffset: Int
    /// The bytes that it takes in the file.
    let byteCount: Int
    /// Filters that were not applied to it, as bits.
    let skippedFilters: UInt32
  }

  enum Storage {
    /// Nothing is stored: every element is the fill value.
    case absent
    /// The elements in row-major order, from a byte of the file on.
    case contiguous(byteOffset: Int, byteCount: Int)
    /// The elements, which stand among the structure of the file.
    case compact([UInt8])
    case chunked(shape: [Int], filters: [HDF5Filter], chunks: [Chunk])
  }

  var name: String
  let dtype: DType
  let isBigEndian: Bool
  let shape: [Int]
  let storage: Storage
  /// An element that was never written, in the byte order of the file.
  let fill: [UInt8]
}

/// A step by which chunks were packed.
enum HDF5Filter: Equatable {
  case deflate
  /// The first bytes of all elements, then the second ones.
  case shuffle(elementByteCount: Int)
  /// A checksum of 4 bytes at the end.
  case fletcher32
}

/// What is in a file: tensors and texts.
struct HDF5Catalog {
  var datasets: [HDF5Dataset] = []
  var metadata: [(key: String, text: String)] = []
}

// MARK: As bytes

extension HDF5Catalog {
  /// The catalog as bytes: numbers of 8 bytes, the lowest first, and texts behind their lengths.
  var bytes: [UInt8] {
    var output = CatalogBytes()
    output.number(datasets.count)
    for dataset in datasets { dataset.write(to: &output) }
    output.number(metadata.count)
    for (key, text) in metadata {
      output.text(key)
      output.text(text)
    }
    return output.bytes
  }

  /// Reads a catalog. Everything is checked: what wrote it had read a file of a stranger.
  init(_ bytes: Bytes) throws {
    var reader = ByteReader(bytes)
    for _ in 0..<(try reader.count()) { datasets.append(try HDF5Dataset(&reader)) }
    for _ in 0..<(try reader.count()) { metadata.append((try reader.text(), try reader.text())) }
  }
}

extension HDF5Dataset {
  fileprivate func write(to output: inout CatalogBytes) {
    output.text(name)
    output.text(dtype.rawValue)
    output.number(isBigEndian ? 1 : 0)
    output.numbers(shape)
    output.data(fill)
    switch storage {
    case .absent: output.number(0)
    case .contiguous(let byteOffset, let byteCount): output.fields([1, byteOffset, byteCount])
    case .compact(let content):
      output.number(2)
      output.data(content)
    case .chunked(let shape, let filters, let chunks):
      output.number(3)
      output.numbers(shape)
      output.number(filters.count)
      for filter in filters {
        switch filter {
        case .deflate: output.fields([1, 0])
        case .shuffle(let elementByteCount): output.fields([2, elementByteCount])
        case .fletcher32: output.fields([3, 0])
        }
      }
      output.number(chunks.count)
      for chunk in chunks {
        output.fields([chunk.index, chunk.byteOffset, chunk.byteCount, Int(chunk.skippedFilters)])
      }
    }
  }

  fileprivate init(_ reader: inout ByteReader) throws {
    name = try reader.text()
    guard let dtype = DType(rawValue: try reader.text()) else { throw damaged() }
    self.dtype = dtype
    isBigEndian = try reader.number() == 1
    shape = try reader.numbers()
    fill = try reader.data()
    switch try reader.number() {
    case 0: storage = .absent
    case 1: storage = .contiguous(byteOffset: try reader.number(), byteCount: try reader.number())
    case 2: storage = .compact(try reader.data())
    case 3:
      let shape = try reader.numbers()
      var filters: [HDF5Filter] = []
      for _ in 0..<(try reader.count()) {
        let (kind, parameter) = (try reader.number(), try reader.number())
        switch kind {
        case 1: filters.append(.deflate)
        case 2: filters.append(.shuffle(elementByteCount: parameter))
        default: filters.append(.fletcher32)
        }
      }
      var chunks: [Chunk] = []
      for _ in 0..<(try reader.count()) {
        chunks.append(
          Chunk(
            index: try reader.number(), byteOffset: try reader.number(), byteCount: try reader.number(),
            skippedFilters: UInt32(truncatingIfNeeded: try reader.number())))
      }
      storage = .chunked(shape: shape, filters: filters, chunks: chunks)
    default: throw damaged()
    }
  }
}

private func damaged() -> BessemerError { BessemerError(.header, "the structure of the file cannot be read") }

/// Bytes of a catalog that is written.
private struct CatalogBytes {
  private(set) var bytes: [UInt8] = []

  mutating func number(_ value: Int) {
    withUnsafeBytes(of: Int64(value).littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func fields(_ values: [Int]) { for value in values { number(value) } }

  mutating func numbers(_ values: [Int]) {
    number(values.count)
    fields(values)
  }

  mutating func data(_ content: some Collection<UInt8>) {
    number(content.count)
    bytes.append(contentsOf: content)
  }

  mutating func text(_ text: String) { data(text.utf8) }
}

extension ByteReader {
  /// A number that is not negative.
  fileprivate mutating func number() throws -> Int {
    let value = try integer(Int64.self, "the structure of the file")
    guard value >= 0 else { throw damaged() }
    return Int(value)
  }

  /// A number of things that follow, each of at least 8 bytes.
  fileprivate mutating func count() throws -> Int {
    let value = try number()
    guard value <= remaining / 8 else { throw damaged() }
    return value
  }

  fileprivate mutating func numbers() throws -> [Int] {
    var numbers: [Int] = []
    for _ in 0..<(try count()) { numbers.append(try number()) }
    return numbers
  }

  fileprivate mutating func data() throws -> [UInt8] { try take(number(), "the structure of the file").array }

  fileprivate mutating func text() throws -> String { try text(number(), "a name or text") }
}
