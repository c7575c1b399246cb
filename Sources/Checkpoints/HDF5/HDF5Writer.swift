internal import CHDF5
internal import Glibc
internal import Synchronization
public import Tensors

/// Where everything of an HDF5 file goes: which object holds which tensor and text.
struct HDF5Layout {
  /// An attribute: the path of its object, empty for the root group, its name and its text.
  struct Attribute {
    let path: String
    let name: String
    let text: String
  }

  /// The path of each tensor's dataset.
  let paths: [String]
  /// The path of the dataset that a tensor is a second name of; nil for one with a dataset of its own.
  let twins: [String?]
  /// In order, parents before their children.
  let groups: [String]
  let attributes: [Attribute]
  /// Why the file cannot be written, one line each.
  private(set) var problems: [String] = []

  /// Names are paths, but for weights of which the metadata says where Keras has them.
  init(_ entries: [CheckpointEntry], _ metadata: [TensorName: String]) {
    var keras: [TensorName: String] = [:]
    for (path, name) in KerasNames(metadata).weights { keras[TensorName(name)] = path }
    paths = entries.map { keras[$0.name] ?? $0.name.string }
    twins = entries.map { entry in entry.twin.map { keras[$0] ?? $0.string } }
    let second = Set(zip(paths, twins).filter { $1 != nil }.map { TensorName($0.0) })
    let datasets = Set(paths.map { TensorName($0) })
    var groups: [String] = []
    var known: Set<TensorName> = []
    /// Notes the groups around a path, and itself when it is one; false when one of them is a dataset.
    func addGroups(_ path: String, isGroup: Bool) -> Bool {
      let parts = path.split(separator: "/", omittingEmptySubsequences: false)
      var all: [String] = []
      for count in 1..<max(parts.count + (isGroup ? 1 : 0), 1) {
        let group = parts.prefix(count).joined(separator: "/")
        if datasets.contains(TensorName(group)) { return false }
        all.append(group)
      }
      for group in all where known.insert(TensorName(group)).inserted { groups.append(group) }
      return true
    }
    for (entry, path) in zip(entries, paths) {
      let name = quoted(entry.name.string)
      if !HDF5Types.holds(entry.dtype) || entry.byteCount == nil || entry.shape.count > 32 {
        problems.append("\(TensorType(entry.dtype, shape: entry.shape)) (tensor \(name))")
      } else if !HDF5Layout.isPath(path) {
        problems.append("the tensor name \(name), which is no path")
      } else if !addGroups(path, isGroup: false) {
        problems.append("the tensor \(name) inside another tensor")
      }
    }
    if datasets.count < paths.count { problems.append("two tensors of one path") }
    var attributes: [Attribute] = []
    for (key, text) in metadata.sorted(by: { $0.key < $1.key }) {
      guard !key.string.isEmpty, key.string.utf8.count < 1 << 15, !key.string.utf8.contains(0), !text.utf8.contains(0)
      else {
        problems.append("the text \(quoted(key.string)), which is empty in name, too long, or has a NUL in it")
        continue
      }
      let (path, name) = HDF5Attributes.parts(key.string)
      let isOfObject =
        !path.isEmpty && HDF5Layout.isPath(path)
        && (datasets.contains(TensorName(path)) || addGroups(path, isGroup: true))
      // Those of a second name are the first one's.
      if isOfObject, second.contains(TensorName(path)) { continue }
      attributes.append(Attribute(path: isOfObject ? path : "", name: isOfObject ? name : key.string, text: text))
    }
    for (entry, path) in zip(entries, paths) where entry.dtype == .bfloat16 && entry.twin == nil {
      // By this Keras tells the type.
      guard metadata[TensorName(HDF5Attributes.key(path, "dtype"))] == nil else { continue }
      attributes.append(Attribute(path: path, name: "dtype", text: "bfloat16"))
    }
    self.groups = groups
    self.attributes = attributes
  }

  /// Whether a text names an object below the root group.
  private static func isPath(_ path: String) -> Bool {
    path.utf8.count <= HDF5Walker.maximumNameByteCount && !path.utf8.contains(0)
      && path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        .allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) }
  }
}

extension HDF5 {
  public func problems(_ entries: [CheckpointEntry], metadata: [TensorName: String]) -> [String] {
    HDF5Layout(entries, metadata).problems
  }

  /// Writes datasets in one piece, in the given order, and texts as attributes. libhdf5 makes the file without data, in
  /// memory; then both are written together, from the start to the end.
  public func write(_ entries: [CheckpointEntry], metadata: [TensorName: String], to path: String, overwrite: Bool)
    throws
  {
    try inFile(path) {
      try check(entries, metadata: metadata)
      let memory = try MemoryFile()
      let offsets = try HDF5.library.withLock { _ in
        try HDF5Skeleton.make(entries, HDF5Layout(entries, metadata), memory.path)
      }
      let byteCount = try memory.byteCount()
      let data = offsets.enumerated().compactMap { index, offset in offset.map { (index: index, offset: $0) } }
      try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: byteCount) { file in
        for (index, offset) in data.sorted(by: { $0.offset < $1.offset }) {
          try Interrupt.check()
          try memory.copy(file.position..<max(offset, file.position), to: file)
          guard file.position == offset else { throw BessemerError(.outputFailed, "tensors overlap at byte \(offset)") }
          try entries[index].write(to: file)
        }
        try memory.copy(file.position..<byteCount, to: file)
      }
    }
  }
}

/// Makes an HDF5 file with everything but data.
enum HDF5Skeleton {
  /// Writes the file at `path`; returns where the data of each tensor goes, nil for those without any.
  static func make(_ entries: [CheckpointEntry], _ layout: HDF5Layout, _ path: String) throws -> [Int?] {
    h5_quiet()
    var open: [(hid_t, (hid_t) -> herr_t)] = []
    defer { for (id, close) in open.reversed() { _ = close(id) } }
    /// The id, closed in the end.
    func keep(_ id: hid_t, _ close: @escaping (hid_t) -> herr_t) throws -> hid_t {
      guard id >= 0 else { throw failure() }
      open.append((id, close))
      return id
    }
    let access = try keep(h5_writing_access(), H5Pclose)
    let root = try keep(h5_root_list(), H5Pclose)
    let groups = try keep(h5_groups_list(), H5Pclose)
    let links = try keep(h5_link_list(), H5Pclose)
    let list = try keep(h5_dataset_list(), H5Pclose)
    let file = try keep(H5Fcreate(path, h5_truncate(), root, access), H5Fclose)
    for group in layout.groups {
      let id = H5Gcreate2(file, group, links, groups, h5_default())
      guard id >= 0, H5Gclose(id) >= 0 else { throw failure() }
    }
    var offsets: [Int?] = []
    for (index, entry) in entries.enumerated() {
      if index & 0x3FF == 0 { try Interrupt.check() }
      let hasData = layout.twins[index] == nil
      offsets.append(hasData ? try dataset(entry, layout.paths[index], file, links, list) : nil)
    }
    for (path, twin) in zip(layout.paths, layout.twins) {
      guard let twin else { continue }
      guard H5Lcreate_hard(file, twin, file, path, links, h5_default()) >= 0 else { throw failure() }
    }
    let names = try keep(h5_attribute_list(), H5Pclose)
    let text = try keep(h5_text(), H5Tclose)
    for attribute in layout.attributes { try write(attribute, file, text, names) }
    guard H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 else { throw failure() }
    return offsets
  }

  private static func failure() -> BessemerError {
    let error = HDF5Walker.failure("the HDF5 file cannot be made")
    return BessemerError(.outputFailed, error.message)
  }

  private static func dataset(_ entry: CheckpointEntry, _ path: String, _ file: hid_t, _ links: hid_t, _ list: hid_t)
    throws -> Int?
  {
    let type = HDF5Types.make(entry.dtype)
    let space =
      entry.shape.isEmpty
      ? H5Screate(H5S_SCALAR) : H5Screate_simple(Int32(entry.shape.count), entry.shape.map { hsize_t($0) }, nil)
    defer {
      H5Tclose(type)
      H5Sclose(space)
    }
    let dataset = H5Dcreate2(file, path, type, space, links, list, h5_default())
    guard type >= 0, space >= 0, dataset >= 0 else { throw failure() }
    defer { H5Dclose(dataset) }
    guard let byteCount = entry.byteCount, byteCount > 0 else { return nil }
    let offset = H5Dget_offset(dataset)
    guard offset != haddr_t.max, let place = Int(exactly: offset) else { throw failure() }
    return place
  }

  /// Arrays of texts in JSON become arrays again.
  private static func write(_ attribute: HDF5Layout.Attribute, _ file: hid_t, _ type: hid_t, _ names: hid_t) throws {
    let texts = HDF5Attributes.texts(attribute.text)
    let space = texts.map { H5Screate_simple(1, [hsize_t($0.count)], nil) } ?? H5Screate(H5S_SCALAR)
    defer { H5Sclose(space) }
    let object = attribute.path.isEmpty ? "." : attribute.path
    let id = H5Acreate_by_name(file, object, attribute.name, type, space, names, h5_default(), h5_default())
    guard space >= 0, id >= 0 else { throw failure() }
    defer { H5Aclose(id) }
    let all = texts ?? [attribute.text]
    guard !all.isEmpty else { return }
    // Copies that end with a zero, for as long as the library reads them.
    let copies = all.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    guard !copies.contains(nil), H5Awrite(id, type, copies) >= 0 else { throw failure() }
  }
}
