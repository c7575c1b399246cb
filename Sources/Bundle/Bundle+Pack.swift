internal import Digests
internal import Tensors

extension Bundle {
  /// Makes one file of a bundle's folder. Every byte is compared with its digest on the way.
  public static func pack(
    _ folder: String, to path: String, overwrite: Bool = false, progress: (BundleProgress) -> Void = { _ in }
  ) throws {
    let bundle = try Bundle(path: folder)
    let manifest = try bundle.files.map(BundleManifest.fileName)
    let first = BundleManifest.File(
      name: BundleManifest.fileName, byteCount: manifest.count, sha256: try SHA256.digest(of: manifest))
    let list = [first] + bundle.manifest.files
    let index = index(list)
    let (files, byteCount) = try PackedBundle.layout(list, indexByteCount: index.count)
    try AtomicWriter.write(to: path, overwrite: overwrite, byteCount: byteCount) { writer in
      try writer.write(PackedBundle.magic)
      for number in [PackedBundle.version, UInt64(index.count)] {
        try writer.write((0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) })
      }
      let hash = SHA256()
      index.withUnsafeBytes { hash.update($0) }
      try writer.write(hash.finish().bytes)
      try writer.write(index)
      for (file, range) in files {
        try writer.write([UInt8](repeating: 0, count: range.lowerBound - writer.position))
        try copy(file, bundle.files, to: writer, total: byteCount, progress)
      }
    }
  }

  /// Makes a folder of a packed bundle. Every byte is compared with its digest on the way.
  public static func unpack(
    _ path: String, to folder: String, overwrite: Bool = false, progress: (BundleProgress) -> Void = { _ in }
  ) throws {
    let bundle = try Bundle(path: path)
    let packed = try PackedBundle(path: path)
    try AtomicFolder.write(to: folder, overwrite: overwrite, mayReplace: { isBundleFolder($0) }) { folder in
      // The manifest comes last, as everywhere.
      for (file, _) in packed.files.dropFirst() + packed.files.prefix(1) {
        try folder.write(file.name, byteCount: file.byteCount) { sink in
          try copy(file, bundle.files, to: sink, total: packed.mapping.byteCount, progress)
        }
      }
    }
  }

  private static func copy(
    _ file: BundleManifest.File, _ files: BundleFiles, to sink: any ByteSink, total: Int,
    _ progress: (BundleProgress) -> Void
  ) throws {
    let bytes = try files.map(file.name)
    let hash = SHA256()
    var done = 0
    while done < bytes.count {
      try Interrupt.check()
      let piece = bytes[done..<min(bytes.count, done + 1 << 23)]
      piece.withUnsafeBytes { hash.update($0) }
      try sink.write(piece)
      piece.releasePages()
      done += piece.count
      progress(BundleProgress(done: min(sink.position, total), total: total, name: file.name))
    }
    guard hash.finish() == file.sha256 else { throw changed(files.path(of: file.name)) }
  }

  private static func index(_ files: [BundleManifest.File]) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in json.array("files") { json in for file in files { file.write(to: &json) } } }
    return json.utf8 + [UInt8(ascii: "\n")]
  }
}
