internal import Synchronization
internal import Tensors

/// The bytes of a storage, whose checksum is verified before they are first used.
final class PyTorchRecord: Sendable {
  let bytes: Bytes
  private let member: ZipArchive.Member?
  private let isVerified = Mutex(false)

  /// Bytes without checksum.
  init(_ bytes: Bytes) {
    self.bytes = bytes
    member = nil
  }

  /// A member that is stored as it is.
  init(_ member: ZipArchive.Member, isChecked: Bool) {
    bytes = member.packed
    self.member = isChecked ? member : nil
  }

  func verify() throws {
    guard let member else { return }
    try isVerified.withLock { isVerified in
      guard !isVerified else { return }
      _ = try member.stored()
      isVerified = true
    }
  }
}

/// Names the tensors of a pickle by the keys and places that lead to them, `state.0.exp_avg`.
struct PyTorchContent {
  /// Containers inside each other.
  static let maximumDepth = 64
  /// Values that are named; shared ones count as often as they occur, and occur at most so often on average.
  static let maximumNamedCount = 1_000_000
  static let maximumSharing = 4
  /// Bytes of a name.
  static let maximumNameByteCount = 4096

  private let heap: PickleHeap
  private let path: String
  private var tensors: [(name: String, tensor: PyTorchTensor)] = []
  /// Plain values: texts, numbers, and lists of them, as JSON spells them.
  private var metadata: [TensorName: String] = [:]
  private var count = 0
  private let limit: Int

  /// Names everything that hangs on `root`.
  init(_ heap: PickleHeap, root: Int32, path: String) throws {
    self.heap = heap
    self.path = path
    limit = min(PyTorchContent.maximumNamedCount, 1024 + PyTorchContent.maximumSharing * heap.values.count)
    switch heap[root] {
    case .tensor(let place): tensors.append(("tensor", heap.tensors[place]))
    case .dictionary, .list, .tuple: try name(root, "", depth: 0)
    default: throw BessemerError(.wrongFormat, "holds a single value, expected tensors by name")
    }
  }

  // MARK: Names

  private mutating func name(_ number: Int32, _ prefix: String, depth: Int) throws {
    count += 1
    guard count <= limit, depth <= PyTorchContent.maximumDepth else {
      throw BessemerError(.limit, "containers are too deep, or shared too often, at \(quoted(prefix))")
    }
    guard prefix.utf8.count <= PyTorchContent.maximumNameByteCount else {
      throw BessemerError(.limit, "a name of \(prefix.utf8.count) bytes")
    }
    func inner(_ key: String) -> String { depth == 0 ? key : prefix + "." + key }
    switch heap[number] {
    case .tensor(let place): tensors.append((prefix, heap.tensors[place]))
    case .dictionary(let place):
      let content = heap.containers[place]
      for k in stride(from: 0, to: content.count, by: 2) {
        guard let key = literal(content[k]) else {
          throw BessemerError(.unsupportedFeature, "keys of \(quoted(prefix)) are no texts or numbers")
        }
        try name(content[k + 1], inner(key), depth: depth + 1)
      }
    case .list(let place), .tuple(let place), .set(let place):
      let items = heap.containers[place]
      guard depth == 0 || items.contains(where: { literal($0) == nil }) else {
        metadata[TensorName(prefix)] = list(items)
        return
      }
      for (k, item) in items.enumerated() { try name(item, inner(String(k)), depth: depth + 1) }
    case .storage:
      throw BessemerError(.unsupportedFeature, "holds the bare storage \(quoted(prefix)), expected tensors")
    default: metadata[TensorName(prefix)] = literal(number)
    }
  }

  /// A plain value; nil for containers, tensors, and values of which nothing is kept.
  private func literal(_ number: Int32) -> String? {
    switch heap[number] {
    case .none: "null"
    case .boolean(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .float(let value): "\(value)"
    case .text(let place), .plain(let place): heap.texts[place]
    case .global(.dtype(let dtype)): "torch." + dtype.longName
    default: nil
    }
  }

  private func list(_ items: [Int32]) -> String {
    var json = JSONWriter(.compact)
    json.array { json in
      for item in items {
        switch heap[item] {
        case .none: json.null()
        case .boolean(let value): json.value(value)
        case .integer(let value): json.value(value)
        case .float(let value): json.value(value)
        default: json.value(literal(item) ?? "")
        }
      }
    }
    return json.text
  }

  // MARK: Bytes

  /// The tensors by name. Those that look at the same elements get the same window of the file.
  func store(_ records: [String: PyTorchRecord], isBigEndian: Bool, fileByteCount: Int) throws -> TensorStore {
    var store = TensorStore()
    store.reserveCapacity(tensors.count)
    var limit = ExpansionLimit(fileByteCount: fileByteCount)
    for (name, tensor) in tensors {
      do {
        let entry = try entry(name, tensor, records, isBigEndian: isBigEndian)
        try limit.take(entry.byteCount)
        try store.append(entry)
      } catch let error as BessemerError where error.code != .duplicateName {
        throw BessemerError(error.code, "tensor \(quoted(name)): \(error.message)")
      }
    }
    store.metadata = metadata
    return store
  }

  private func entry(_ name: String, _ tensor: PyTorchTensor, _ records: [String: PyTorchRecord], isBigEndian: Bool)
    throws -> TensorStore.Entry
  {
    let storage = heap.storages[tensor.storage]
    let size = storage.elementByteCount
    guard let byteCount = CheckedSize.product(storage.elementCount, size) else {
      throw BessemerError(.tensorLayout, "the storage has \(storage.elementCount) elements")
    }
    let record = records[storage.key] ?? PyTorchRecord(Bytes([]))
    guard records[storage.key] != nil || byteCount == 0 else {
      throw BessemerError(.weights, "the file lacks its storage \(quoted(storage.key))")
    }
    guard record.bytes.count == byteCount else {
      throw BessemerError(
        .tensorLayout,
        "storage \(quoted(storage.key)) has \(record.bytes.count) bytes, the pickle says \(byteCount)")
    }
    let window = record.bytes[(storage.range.lowerBound * size)..<(storage.range.upperBound * size)]
    // A byte holds two numbers of 4 bits, and counts once in shape and strides.
    let isPair = tensor.dtype == .float4e2m1
    guard
      let array = StridedArray(
        window, isPair ? .uint8 : tensor.dtype, shape: tensor.shape, strides: tensor.strides, offset: tensor.offset,
        isBigEndian: isBigEndian)
    else {
      throw BessemerError(
        .tensorLayout,
        "shape \(tensor.shape) with strides \(tensor.strides) from element \(tensor.offset) on leaves its storage of "
          + "\(window.count) bytes")
    }
    var shape = tensor.shape
    if isPair {
      guard let last = shape.last, tensor.strides.last == 1 || last < 2 else {
        throw BessemerError(.unsupportedFeature, "4-bit numbers do not follow each other")
      }
      shape[shape.count - 1] = 2 * last
    }
    guard let plain = array.window else {
      return TensorStore.Entry(TensorName(name), tensor.dtype, shape: shape, file: path) { body in
        try inFile(path) { try record.verify() }
        try array.forEachPiece(body)
      }
    }
    return TensorStore.Entry(TensorName(name), tensor.dtype, shape: shape, file: path) {
      try inFile(path) { try record.verify() }
      return plain
    }
  }
}
