internal import Tensors

/// A value that a pickle builds. Containers hold the numbers of other values in a ``PickleHeap``, so that neither depth
/// nor sharing costs stack or memory.
enum PickleValue {
  case none
  case boolean(Bool)
  case integer(Int)
  /// A whole number beyond 64 bits, of which nothing is kept.
  case wideInteger
  case float(Double)
  /// A text, by its place in ``PickleHeap/texts``.
  case text(Int)
  /// Bytes or a complex number, of which nothing is kept.
  case bytes
  /// Lists, tuples and sets, by place in ``PickleHeap/containers``.
  case list(Int)
  case tuple(Int)
  case set(Int)
  /// Keys and values in turn.
  case dictionary(Int)
  /// A name that the pickle may call for.
  case global(PickleGlobal)
  /// What was called for, by its place in ``PickleHeap/storages`` and ``PickleHeap/tensors``.
  case storage(Int)
  case tensor(Int)
  /// An object without tensors, told by a text: a device, a layout.
  case plain(Int)
}

/// The values of a pickle, by number, and the memory that they take.
struct PickleHeap {
  /// Bytes that all values take together, by estimate.
  static let maximumByteCount = 192 << 20
  /// Containers inside each other.
  static let maximumDepth = 65

  private(set) var values: [PickleValue] = []
  private(set) var texts: [String] = []
  private(set) var containers: [[Int32]] = []
  /// How deep each container was when something was last put into it, itself included.
  private var depths: [Int8] = []
  private(set) var storages: [PyTorchStorage] = []
  private(set) var tensors: [PyTorchTensor] = []
  private var byteCount = 0

  subscript(number: Int32) -> PickleValue { values[Int(number)] }

  /// A new value. Throws ``ErrorCode/limit`` when all get too large.
  mutating func add(_ value: PickleValue) throws -> Int32 {
    try account(16)
    values.append(value)
    return Int32(values.count - 1)
  }

  mutating func text(_ text: String) throws -> Int {
    try account(16 + (text.utf8.count > 15 ? 32 + text.utf8.count : 0))
    texts.append(text)
    return texts.count - 1
  }

  mutating func container(_ content: some Collection<Int32>) throws -> Int {
    try account(48 + 4 * content.count)
    containers.append(Array(content))
    depths.append(try depth(around: content))
    return containers.count - 1
  }

  mutating func append(_ content: some Collection<Int32>, to container: Int) throws {
    try account(8 * content.count)
    containers[container] += content
    depths[container] = max(depths[container], try depth(around: content))
  }

  /// How deep a container of these values is.
  private func depth(around content: some Collection<Int32>) throws -> Int8 {
    var depth: Int8 = 1
    for number in content {
      switch self[number] {
      case .list(let place), .tuple(let place), .set(let place), .dictionary(let place):
        depth = max(depth, depths[place] + 1)
      default: break
      }
    }
    guard depth <= PickleHeap.maximumDepth else {
      throw BessemerError(.limit, "containers more than \(PickleHeap.maximumDepth) deep")
    }
    return depth
  }

  mutating func storage(_ storage: PyTorchStorage) throws -> PickleValue {
    try account(MemoryLayout<PyTorchStorage>.stride)
    storages.append(storage)
    return .storage(storages.count - 1)
  }

  mutating func tensor(_ tensor: PyTorchTensor) throws -> PickleValue {
    try account(MemoryLayout<PyTorchTensor>.stride + 16 * tensor.shape.count + 64)
    tensors.append(tensor)
    return .tensor(tensors.count - 1)
  }

  private mutating func account(_ count: Int) throws {
    byteCount += count
    guard byteCount <= PickleHeap.maximumByteCount else {
      throw BessemerError(.limit, "the pickle builds more than \(PickleHeap.maximumByteCount) bytes of values")
    }
  }
}

extension PickleHeap {
  /// The items of a list, tuple or set; nil for anything else.
  func items(_ number: Int32) -> [Int32]? {
    switch self[number] {
    case .list(let place), .tuple(let place), .set(let place): containers[place]
    default: nil
    }
  }

  func text(_ number: Int32) -> String? {
    if case .text(let place) = self[number] { texts[place] } else { nil }
  }

  func integer(_ number: Int32) -> Int? {
    if case .integer(let value) = self[number] { value } else { nil }
  }

  /// The numbers of a tuple or list of whole numbers; nil for anything else.
  func integers(_ number: Int32) -> [Int]? {
    guard let items = items(number) else { return nil }
    let numbers = items.compactMap { integer($0) }
    return numbers.count == items.count ? numbers : nil
  }
}
