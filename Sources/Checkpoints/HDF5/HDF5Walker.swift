internal import CHDF5
internal import Tensors

/// Goes through the structure of an HDF5 file with libhdf5, in a process of its own, and notes what is there.
///
/// Groups are walked without recursion. Soft links are followed inside the file. Whatever leads out of it is refused:
/// external links, external storage, virtual datasets.
struct HDF5Walker {
  /// Tensors and groups, by all the names that lead to them.
  static let maximumNameCount = 1_000_000
  /// Bytes of a name.
  static let maximumNameByteCount = 16 << 10
  /// How often groups may be entered beyond once each: links can make a few groups look like very many.
  static let maximumRepeatCount = 10_000
  /// Chunks of a tensor.
  static let maximumChunkCount = 1 << 17
  /// Bytes of a chunk.
  static let maximumChunkByteCount = 64 << 20

  private var catalog = HDF5Catalog()
  private var frames: [Frame] = []
  private var entered: [UInt64: Int] = [:]
  private var repeatCount = 0
  private var nameCount = 0
  private let links: hid_t

  /// A group that is being walked.
  private struct Frame {
    let group: hid_t
    let address: UInt64
    let path: String
    let links: [(name: String, kind: Int32)]
    var next = 0
  }

  /// Everything in the file that the open descriptor leads to. For a process that is contained.
  static func walk(_ descriptor: Int32) throws -> HDF5Catalog {
    h5_quiet()
    Contained.confine(opening: true)
    let file = H5Fopen("/proc/self/fd/\(descriptor)", h5_read_only(), h5_access())
    guard file >= 0 else { throw failure("cannot be opened") }
    Contained.confine(opening: false)
    var walker = HDF5Walker(links: h5_inside_links())
    let root = H5Gopen2(file, "/", h5_default())
    guard root >= 0 else { throw failure("has no root group") }
    try walker.enter(root, "")
    while !walker.frames.isEmpty { try walker.step() }
    return walker.catalog
  }

  private init(links: hid_t) { self.links = links }

  /// An error of the library, with what it says itself.
  static func failure(_ what: String) -> BessemerError {
    var text = [CChar](repeating: 0, count: 256)
    h5_error_text(&text)
    let reason = text.withUnsafeBufferPointer { String(validatingCString: $0.baseAddress!) ?? "" }
    return BessemerError(.header, reason.isEmpty ? what : "\(what): \(reason)")
  }

  // MARK: Groups

  private mutating func enter(_ group: hid_t, _ path: String) throws {
    let address = h5_address(group)
    guard !frames.contains(where: { $0.address == address }) else {
      throw BessemerError(.unsupportedFeature, "group \(quoted(path)) contains itself")
    }
    if entered.updateValue(1, forKey: address) != nil { repeatCount += 1 }
    guard repeatCount <= HDF5Walker.maximumRepeatCount else {
      throw BessemerError(.limit, "links make groups look like more than they are, at \(quoted(path))")
    }
    let names = Names()
    let list = H5Gget_create_plist(group)
    var order: UInt32 = 0
    H5Pget_link_creation_order(list, &order)
    H5Pclose(list)
    let status = h5_links(group, order & 1 != 0 && order & 2 != 0 ? 1 : 0, names.pointer, Names.visit)
    if let error = names.error { throw error }
    guard status >= 0 else { throw HDF5Walker.failure("the links of group \(quoted(path)) cannot be read") }
    nameCount += names.list.count
    guard nameCount <= HDF5Walker.maximumNameCount else {
      throw BessemerError(.limit, "more than \(HDF5Walker.maximumNameCount) names")
    }
    try HDF5Attributes.read(group, path, into: &catalog)
    frames.append(Frame(group: group, address: address, path: path, links: names.list))
  }

  private mutating func step() throws {
    let last = frames.count - 1
    let frame = frames[last]
    guard frame.next < frame.links.count else {
      H5Gclose(frame.group)
      frames.removeLast()
      return
    }
    frames[last].next += 1
    let (name, kind) = frame.links[frame.next]
    let path = frame.path.isEmpty ? name : frame.path + "/" + name
    guard path.utf8.count <= HDF5Walker.maximumNameByteCount else {
      throw BessemerError(.limit, "a name of \(path.utf8.count) bytes, \(quoted(path))")
    }
    guard kind == 0 || kind == 1 else {
      throw BessemerError(.unsupportedFeature, "\(quoted(path)) is a link out of the file, which is not followed")
    }
    let object = H5Oopen(frame.group, name, links)
    guard object >= 0 else { throw HDF5Walker.failure("\(quoted(path)) cannot be opened") }
    switch H5Iget_type(object) {
    case H5I_GROUP: try enter(object, path)
    case H5I_DATASET:
      defer { H5Oclose(object) }
      try add(object, path)
    default: H5Oclose(object)
    }
  }

  // MARK: Tensors

  private mutating func add(_ dataset: hid_t, _ path: String) throws {
    func refuse(_ code: ErrorCode, _ what: String) -> BessemerError {
      BessemerError(code, "dataset \(quoted(path)) \(what)")
    }
    let (type, list, space) = (H5Dget_type(dataset), H5Dget_create_plist(dataset), H5Dget_space(dataset))
    defer {
      H5Tclose(type)
      H5Pclose(list)
      H5Sclose(space)
    }
    guard type >= 0, list >= 0, space >= 0 else { throw HDF5Walker.failure("dataset \(quoted(path)) cannot be read") }
    let layout = H5Pget_layout(list)
    guard layout != H5D_VIRTUAL, H5Pget_external_count(list) == 0 else {
      throw refuse(.unsupportedFeature, "has its data in other files, which are not read")
    }
    let shape = try HDF5Walker.shape(space)
    if H5Tget_class(type) == H5T_STRING, shape.isEmpty {
      let text = try HDF5Attributes.text(type) { H5Dread(dataset, type, 0, 0, h5_default(), $0) >= 0 }
      guard let text else { throw refuse(.tensorEntry, "is a text that cannot be read") }
      catalog.metadata.append((path, text))
      return
    }
    guard let (dtype, isBigEndian) = HDF5Types.describe(type) else {
      throw refuse(.unsupportedType, "is of no type that tensors have")
    }
    guard let byteCount = Tensor.byteCount(dtype, shape: shape) else {
      throw refuse(.tensorLayout, "has the shape \(shape), which is out of limits")
    }
    var fill = [UInt8](repeating: 0, count: dtype.bits / 8)
    var defined = H5D_FILL_VALUE_ERROR
    if H5Pfill_value_defined(list, &defined) >= 0, defined == H5D_FILL_VALUE_USER_DEFINED {
      guard H5Pget_fill_value(list, type, &fill) >= 0 else { throw HDF5Walker.failure("a fill value cannot be read") }
    }
    let storage = try storage(dataset, type, list, space, layout, path, shape, byteCount)
    catalog.datasets.append(
      HDF5Dataset(name: path, dtype: dtype, isBigEndian: isBigEndian, shape: shape, storage: storage, fill: fill))
    try HDF5Attributes.read(dataset, path, into: &catalog, isBFloat16: dtype == .bfloat16)
  }

  private static func shape(_ space: hid_t) throws -> [Int] {
    switch H5Sget_simple_extent_type(space) {
    case H5S_SCALAR: return []
    case H5S_NULL: return [0]
    default:
      let rank = H5Sget_simple_extent_ndims(space)
      guard (0...32).contains(rank) else { throw failure("a dataset has no shape") }
      var dims = [hsize_t](repeating: 0, count: Int(rank))
      H5Sget_simple_extent_dims(space, &dims, nil)
      return dims.map { Int(exactly: $0) ?? .max }
    }
  }

  private func storage(
    _ dataset: hid_t, _ type: hid_t, _ list: hid_t, _ space: hid_t, _ layout: H5D_layout_t, _ path: String,
    _ shape: [Int], _ byteCount: Int
  ) throws -> HDF5Dataset.Storage {
    let stored = H5Dget_storage_size(dataset)
    switch layout {
    case H5D_COMPACT:
      guard byteCount <= 64 << 10 else {
        throw BessemerError(.tensorLayout, "dataset \(quoted(path)) is compact and has \(byteCount) bytes")
      }
      guard byteCount > 0 else { return .absent }
      var content = [UInt8](repeating: 0, count: byteCount)
      guard stored == hsize_t(byteCount), H5Dread(dataset, type, 0, 0, h5_default(), &content) >= 0 else {
        throw HDF5Walker.failure("the data of \(quoted(path)) cannot be read")
      }
      return .compact(content)
    case H5D_CONTIGUOUS:
      let offset = H5Dget_offset(dataset)
      if offset == haddr_t.max { return .absent }
      return .contiguous(byteOffset: Int(exactly: offset) ?? .max, byteCount: Int(exactly: stored) ?? .max)
    case H5D_CHUNKED: return try chunks(dataset, type, list, space, path, shape)
    default: throw BessemerError(.unsupportedFeature, "dataset \(quoted(path)) has an unknown layout")
    }
  }

  private func chunks(
    _ dataset: hid_t, _ type: hid_t, _ list: hid_t, _ space: hid_t, _ path: String, _ shape: [Int]
  ) throws -> HDF5Dataset.Storage {
    var dims = [hsize_t](repeating: 0, count: shape.count)
    guard H5Pget_chunk(list, Int32(shape.count), &dims) == Int32(shape.count) else {
      throw HDF5Walker.failure("the chunks of \(quoted(path)) cannot be read")
    }
    let chunk = dims.map { Int(exactly: $0) ?? .max }
    let filters = try filters(list, path)
    var storedCount: hsize_t = 0
    guard H5Dget_num_chunks(dataset, space, &storedCount) >= 0 else {
      throw HDF5Walker.failure("the chunks of \(quoted(path)) cannot be counted")
    }
    guard let byteCount = Tensor.elementCount(of: chunk + [H5Tget_size(type)]),
      byteCount <= HDF5Walker.maximumChunkByteCount
    else {
      throw BessemerError(
        .limit,
        "dataset \(quoted(path)) has chunks of the shape \(chunk), at most \(HDF5Walker.maximumChunkByteCount) bytes "
          + "are read; repack it in smaller ones")
    }
    guard storedCount > 0 else { return .absent }
    let grid = zip(shape, chunk).map { $1 > 0 ? ($0 - 1) / $1 + 1 : 0 }
    guard let count = Tensor.elementCount(of: grid), count <= HDF5Walker.maximumChunkCount else {
      throw BessemerError(.limit, "dataset \(quoted(path)) has more than \(HDF5Walker.maximumChunkCount) chunks")
    }
    var chunks: [HDF5Dataset.Chunk] = []
    var place = [Int](repeating: 0, count: grid.count)
    for index in 0..<count {
      var (address, size, mask) = (haddr_t.max, hsize_t(0), UInt32(0))
      let offset = zip(place, chunk).map { hsize_t($0 * $1) }
      guard H5Dget_chunk_info_by_coord(dataset, offset, &mask, &address, &size) >= 0 else {
        throw HDF5Walker.failure("a chunk of \(quoted(path)) cannot be found")
      }
      if address != haddr_t.max {
        chunks.append(
          HDF5Dataset.Chunk(
            index: index, byteOffset: Int(exactly: address) ?? .max, byteCount: Int(exactly: size) ?? .max,
            skippedFilters: mask))
      }
      for k in place.indices.reversed() {
        place[k] += 1
        if place[k] < grid[k] { break }
        place[k] = 0
      }
    }
    return .chunked(shape: chunk, filters: filters, chunks: chunks)
  }

  /// The filters in the order in which they were applied.
  private func filters(_ list: hid_t, _ path: String) throws -> [HDF5Filter] {
    let count = H5Pget_nfilters(list)
    guard (0...8).contains(count) else { throw HDF5Walker.failure("the filters of \(quoted(path)) cannot be read") }
    return try (0..<UInt32(count)).map { index in
      var (flags, parameterCount, configuration) = (UInt32(0), 8, UInt32(0))
      var parameters = [UInt32](repeating: 0, count: 8)
      var name = [CChar](repeating: 0, count: 64)
      let kind = H5Pget_filter2(list, index, &flags, &parameterCount, &parameters, 63, &name, &configuration)
      switch kind {
      case 1: return .deflate
      case 2 where parameterCount > 0: return .shuffle(elementByteCount: Int(parameters[0]))
      case 3: return .fletcher32
      default:
        throw BessemerError(
          .unsupportedFeature,
          "dataset \(quoted(path)) is packed by filter \(kind); expected deflate, shuffle or fletcher32")
      }
    }
  }
}

/// Names that a visitor of libhdf5 is called with.
final class Names {
  private(set) var list: [(name: String, kind: Int32)] = []
  private(set) var error: BessemerError?

  /// For the visitor; this object must outlive its calls.
  var pointer: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  static let visit: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, Int32) -> Int32 = {
    data, name, kind in
    guard let data, let name else { return -1 }
    let names = Unmanaged<Names>.fromOpaque(data).takeUnretainedValue()
    guard let text = String(validatingCString: name), !text.isEmpty, names.list.count < HDF5Walker.maximumNameCount
    else {
      names.error = BessemerError(.header, "a name is empty or not UTF-8")
      return -1
    }
    names.list.append((text, kind))
    return 0
  }
}
