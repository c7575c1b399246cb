internal import Tensors

/// What `torch.save` has written since version 1.6: a zip archive of a pickle, `data.pkl`, and a member for each
/// storage, all below one folder.
enum PyTorchArchive {
  static func read(_ file: InputFile) throws -> TensorStore {
    let archive = try ZipArchive(file)
    guard let pickle = archive.members.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
      throw BessemerError(.wrongFormat, "the zip archive has no data.pkl, expected a PyTorch file")
    }
    let folder = pickle.name.dropLast("data.pkl".count)
    // torch.save can be told to compute no checksums; then all are zero.
    let isChecked = archive.members.contains { $0.crc != 0 }
    var members: [TensorName: ZipArchive.Member] = [:]
    for member in archive.members where members.updateValue(member, forKey: TensorName(member.name)) != nil {
      throw BessemerError(.duplicateName, "zip member \(quoted(member.name)) occurs twice")
    }
    if members[TensorName(folder + "constants.pkl")] != nil {
      throw BessemerError(
        .unsupportedFeature, "is a TorchScript module, which is code; load it in PyTorch and save its state_dict()")
    }
    guard pickle.byteCount <= Unpickler.maximumByteCount else {
      throw BessemerError(.limit, "the pickle has \(pickle.byteCount) bytes, at most \(Unpickler.maximumByteCount)")
    }
    let bytes = isChecked ? try pickle.whole() : pickle.packed
    // A copy: what is parsed must not change meanwhile.
    var unpickler = try Unpickler(ByteReader(Bytes(bytes.array))) { heap, items in
      try storage(heap, items)
    }
    let root = try unpickler.load()
    let content = try PyTorchContent(unpickler.heap, root: root, path: file.path)
    var records: [String: PyTorchRecord] = [:]
    for storage in unpickler.heap.storages where records[storage.key] == nil {
      guard let member = members[TensorName(folder + "data/" + storage.key)] else { continue }
      guard !member.isDeflated else {
        throw BessemerError(
          .unsupportedFeature,
          "storage \(quoted(storage.key)) is packed, which torch.save never does; unzip it and zip it with -0")
      }
      records[storage.key] = PyTorchRecord(member, isChecked: isChecked)
    }
    let isBigEndian = try isBigEndian(members[TensorName(folder + "byteorder")])
    return try content.store(records, isBigEndian: isBigEndian, fileByteCount: file.byteCount)
  }

  /// `("storage", class, key, location, element count)`.
  private static func storage(_ heap: PickleHeap, _ items: [Int32]) throws -> PyTorchStorage {
    guard items.count == 5, heap.text(items[0]) == "storage", case .global(.storage(let dtype)) = heap[items[1]],
      let key = heap.text(items[2]), let count = heap.integer(items[4]), count >= 0
    else { throw BessemerError(.pickle, "the pickle refers to something that is no storage") }
    return PyTorchStorage(key: key, dtype: dtype, elementCount: count, range: 0..<count)
  }

  private static func isBigEndian(_ member: ZipArchive.Member?) throws -> Bool {
    guard let member else { return false }
    let text = String(decoding: try member.prefix(16).array, as: UTF8.self)
    guard text == "little" || text == "big" else {
      throw BessemerError(.header, "the byte order is \(quoted(text)), expected little or big")
    }
    return text == "big"
  }
}
