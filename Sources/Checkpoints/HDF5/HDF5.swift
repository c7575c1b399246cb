internal import Synchronization
public import Tensors

/// HDF5 files, as h5py and Keras write them.
///
/// libhdf5 reads the structure, in a process of its own that may crash without harm; data is mapped, or unpacked here.
/// Names are paths, but for the weights of Keras's `.h5` files, which have their own.
public struct HDF5: WritableCheckpointFormat {
  public init() {}

  public var name: String { "hdf5" }
  public var suffixes: [String] { [".h5", ".hdf5", ".hdf", ".he5"] }
  public var summary: String { "files of h5py and Keras: .h5, .weights.h5" }
  public var keepsMetadata: Bool { true }
  public var keepsTies: Bool { true }

  /// One thread at a time uses libhdf5, and no process is made of ours meanwhile.
  static let library = Mutex(())

  static let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]

  /// The signature stands at the start, or behind a block for others of 512 bytes or a power of two more. Of these only
  /// the first can be seen here.
  public func recognizes(_ start: [UInt8]) -> Bool { start.starts(with: HDF5.signature) }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let file = try InputFile(path: path)
      try HDF5.checkSignature(file)
      var limits = Contained.Limits()
      limits.seconds += file.byteCount >> 26
      let bytes = try HDF5.library.withLock { _ in
        try Contained.run(limits) { try HDF5Walker.walk(file.descriptor).bytes }
      }
      let catalog = try HDF5Catalog(bytes)
      return try HDF5.store(catalog, file)
    }
  }

  /// Says what the file looks like when it is none of HDF5.
  private static func checkSignature(_ file: InputFile) throws {
    var offset = 0
    while offset + signature.count <= file.byteCount {
      if try file.read(at: offset, count: signature.count).array == signature { return }
      offset = offset == 0 ? 512 : offset * 2
    }
    let start = try file.read(at: 0, count: min(file.byteCount, 64)).array
    guard !start.isEmpty else { throw BessemerError(.truncated, "the file is empty, expected an HDF5 file") }
    let guess = FileGuess.name(start).map { ", it looks like \($0)" } ?? ""
    throw BessemerError(.wrongFormat, "not an HDF5 file\(guess)")
  }

  private static func store(_ catalog: HDF5Catalog, _ file: InputFile) throws -> TensorStore {
    var store = TensorStore()
    for (key, text) in catalog.metadata {
      guard store.metadata.updateValue(text, forKey: TensorName(key)) == nil else {
        throw BessemerError(.duplicateName, "the attribute \(quoted(key)) occurs twice, or looks like another")
      }
    }
    var limit = ExpansionLimit(fileByteCount: file.byteCount)
    let mapped = try file.map().bytes
    for dataset in named(catalog.datasets, KerasNames(store.metadata).weights) {
      do {
        let entry = try dataset.entry(mapped, file.path)
        try limit.take(entry.byteCount)
        try store.append(entry)
      } catch let error as BessemerError where error.code != .duplicateName {
        throw BessemerError(error.code, "dataset \(quoted(dataset.name)): \(error.message)")
      }
    }
    return store
  }

  /// The datasets in the order of the model, with the names of its weights, then all others. As they are when a weight
  /// would get the name of another dataset.
  private static func named(_ datasets: [HDF5Dataset], _ weights: [(path: String, name: String)]) -> [HDF5Dataset] {
    var places: [TensorName: Int] = [:]
    for (place, dataset) in datasets.enumerated() { places[TensorName(dataset.name)] = place }
    var first: [HDF5Dataset] = []
    var taken: Set<Int> = []
    for (path, name) in weights {
      guard let place = places[TensorName(path)], taken.insert(place).inserted else { continue }
      var dataset = datasets[place]
      dataset.name = name
      first.append(dataset)
    }
    let rest = datasets.indices.filter { !taken.contains($0) }.map { datasets[$0] }
    let names = Set(first.map { TensorName($0.name) })
    return rest.contains { names.contains(TensorName($0.name)) } ? datasets : first + rest
  }
}

extension HDF5Dataset {
  /// The tensor, with its data in a mapped file.
  fileprivate func entry(_ file: Bytes, _ path: String) throws -> TensorStore.Entry {
    let name = TensorName(self.name)
    guard let byteCount = Tensor.byteCount(dtype, shape: shape), fill.count == dtype.bits / 8 else {
      throw BessemerError(.tensorLayout, "the shape \(shape) is out of limits")
    }
    switch byteCount == 0 ? .absent : storage {
    case .absent:
      return entry(path) { body in
        let count = min(byteCount, 1 << 20)
        let memory = HeapMemory(byteCount: count)
        for start in stride(from: 0, to: count, by: fill.count) {
          (memory.base + start).copyMemory(from: fill, byteCount: fill.count)
        }
        for start in stride(from: 0, to: byteCount, by: max(count, 1)) {
          let piece = UnsafeMutableRawBufferPointer(start: memory.base, count: min(count, byteCount - start))
          try body(piece, start == 0)
        }
      }
    case .contiguous(let byteOffset, let storedByteCount):
      guard byteOffset >= HDF5.signature.count, storedByteCount == byteCount,
        let end = CheckedSize.sum(byteOffset, byteCount), end <= file.count
      else {
        throw BessemerError(
          .tensorLayout,
          "\(storedByteCount) bytes at byte \(byteOffset) do not hold \(dtype)\(shape) in a file of \(file.count)")
      }
      return try plain(file[byteOffset..<end]).entry(name, dtype, shape: shape, file: path)
    case .compact(let content):
      guard content.count == byteCount else { throw BessemerError(.tensorLayout, "has \(content.count) bytes") }
      return try plain(Bytes(content)).entry(name, dtype, shape: shape, file: path)
    case .chunked(let chunkShape, let filters, let chunks):
      let reader = try HDF5Chunks(self, chunkShape, filters, chunks, file)
      return entry(path) { body in try inFile(path) { try reader.forEachBlock { try body($0, true) } } }
    }
  }

  private func plain(_ bytes: Bytes) throws -> StridedArray {
    let strides = StridedArray.rowStrides(shape)
    guard let array = StridedArray(bytes, dtype, shape: shape, strides: strides, isBigEndian: isBigEndian) else {
      throw BessemerError(.tensorLayout, "\(bytes.count) bytes do not hold \(dtype)\(shape)")
    }
    return array
  }

  /// A tensor that `blocks` gives in pieces of whole elements, in the byte order of the file, and says of each whether
  /// it was not given before.
  private func entry(
    _ path: String,
    _ blocks: @escaping @Sendable (_ body: (UnsafeMutableRawBufferPointer, Bool) throws -> Void) throws -> Void
  ) -> TensorStore.Entry {
    let part = dtype.bits / (dtype.isComplex ? 16 : 8)
    return TensorStore.Entry(TensorName(name), dtype, shape: shape, file: path) { [isBigEndian] body in
      try blocks { block, isNew in
        if isBigEndian, isNew { swapBytes(block, of: part) }
        for start in stride(from: 0, to: block.count, by: 1 << 20) {
          let piece = UnsafeRawBufferPointer(rebasing: block[start..<min(block.count, start + 1 << 20)])
          try body(Bytes(piece))
        }
      }
    }
  }
}
