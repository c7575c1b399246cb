internal import Tensors

/// What `torch.save` wrote before version 1.6, and writes on request: five pickles one after the other (a magic number,
/// a version, facts of the machine, the tensors, the keys of the storages), then for each key the number of elements
/// and
/// the elements, little-endian.
enum PyTorchStream {
  /// The magic number as pickles have it, behind the opcode.
  static let magic: [UInt8] = [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
  private static let version = 1001

  /// Whether a file starts like this: a protocol, in new ones a frame, and the number.
  static func recognizes(_ start: [UInt8]) -> Bool {
    guard start.count > 24, start[0] == 0x80 else { return start.starts(with: magic) }
    return start[2...].starts(with: magic) || start[2] == 0x95 && start[11...].starts(with: magic)
  }

  static func read(_ file: InputFile) throws -> TensorStore {
    // Pickles say nowhere how long they are; the part of the file that may hold them is copied before it is parsed.
    let start = try file.read(at: 0, count: min(file.byteCount, Unpickler.maximumByteCount))
    var unpickler = try Unpickler(ByteReader(start), persistent: storage)
    _ = try unpickler.load()
    let version = try unpickler.load()
    guard unpickler.heap.integer(version) == PyTorchStream.version else {
      throw BessemerError(.unsupportedFeature, "is of an unknown version of PyTorch's old format")
    }
    _ = try unpickler.load()
    let root = try unpickler.load()
    let keyList = try unpickler.load()
    let heap = unpickler.heap
    guard let keys = heap.items(keyList) else { throw BessemerError(.pickle, "the pickle of keys is no list") }
    let content = try PyTorchContent(heap, root: root, path: file.path)
    let records = try records(keys, heap, unpickler.byteOffset, file)
    return try content.store(records, isBigEndian: false, fileByteCount: file.byteCount)
  }

  /// `("storage", class, key, location, element count, view)`, where a view is nothing, or a key, the first element and
  /// a count.
  private static func storage(_ heap: PickleHeap, _ items: [Int32]) throws -> PyTorchStorage {
    if let first = items.first, heap.text(first) == "module" {
      throw BessemerError(
        .unsupportedFeature, "holds a whole module, which is code; load it in PyTorch and save its state_dict()")
    }
    guard items.count == 6, heap.text(items[0]) == "storage", case .global(.storage(let dtype)) = heap[items[1]],
      let key = heap.text(items[2]), let count = heap.integer(items[4]), count >= 0
    else { throw BessemerError(.pickle, "the pickle refers to something that is no storage") }
    guard let view = heap.items(items[5]) else {
      return PyTorchStorage(key: key, dtype: dtype, elementCount: count, range: 0..<count)
    }
    guard view.count == 3, let first = heap.integer(view[1]), let size = heap.integer(view[2]), first >= 0, size >= 0,
      let end = CheckedSize.sum(first, size), end <= count
    else { throw BessemerError(.tensorLayout, "a view of storage \(quoted(key)) leaves it") }
    return PyTorchStorage(key: key, dtype: dtype, elementCount: count, range: first..<end)
  }

  /// The windows of the file behind the pickles.
  private static func records(_ keys: [Int32], _ heap: PickleHeap, _ start: Int, _ file: InputFile) throws
    -> [String: PyTorchRecord]
  {
    var sizes: [String: Int] = [:]
    for storage in heap.storages { sizes[storage.key] = storage.elementByteCount }
    var records: [String: PyTorchRecord] = [:]
    var position = start
    let mapped = try file.map()
    for number in keys {
      guard let key = heap.text(number), let size = sizes[key], records[key] == nil else {
        throw BessemerError(.pickle, "the list of keys has one twice, or one that no tensor needs")
      }
      var header = ByteReader(try file.read(at: position, count: 8), origin: position)
      let count = try header.integer(Int64.self, "a number of elements")
      guard let byteCount = CheckedSize.product(Int(count), size), count >= 0,
        let end = CheckedSize.sum(position + 8, byteCount), end <= file.byteCount
      else {
        throw BessemerError(
          .truncated, "truncated: storage \(quoted(key)) of \(count) elements at byte \(position) passes the end")
      }
      records[key] = PyTorchRecord(mapped[(position + 8)..<end])
      position = end
    }
    guard position == file.byteCount else {
      throw BessemerError(.tensorLayout, "\(file.byteCount - position) bytes follow the last storage")
    }
    return records
  }
}
