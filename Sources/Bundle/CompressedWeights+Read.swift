import Tensors

extension CompressedWeights {
  /// The tensors that the index describes, decompressed whenever they are loaded.
  ///
  /// Everything is checked here but the frames themselves: sizes, that frames follow each other and end with the file.
  /// `memoryLimit` bounds the bytes of a single tensor.
  static func read(index text: Bytes, data: Bytes, file: String, threads: Int, memoryLimit: Int) throws -> TensorStore {
    let json = try JSON.parse(text)
    try json.checkMembers(["version", "tensors"])
    let version = try json.required("version").asInt()
    guard version == CompressedWeights.version else {
      throw BessemerError(.unsupportedFeature, "weights of version \(version), expected \(CompressedWeights.version)")
    }
    guard data.count >= head.count, data[0..<head.count].array == head else {
      throw BessemerError(.bundle, "does not start as compressed weights do", file: file)
    }
    var store = TensorStore()
    var offset = head.count
    for entry in try json.required("tensors").asArray() {
      try entry.checkMembers(["name", "dtype", "shape", "layout", "piece", "frames"])
      let name = TensorName(try entry.required("name").asString())
      let form = try BundleManifest.Weights.Form(entry)
      guard let byteCount = form.layout.byteCount(form.dtype, shape: form.shape) else {
        throw BessemerError(.tensorLayout, "tensor \(quoted(name.string)) is too large")
      }
      let piece = try entry.required("piece").asInt(in: 1...maximumPieceByteCount)
      let sizes = try entry.required("frames")
      let count = byteCount == 0 ? 0 : (byteCount - 1) / piece + 1
      guard sizes.count == count, piece % ZstdFrame.planeCount(form.dtype) == 0 else {
        throw BessemerError(
          .tensorLayout, "tensor \(quoted(name.string)) has \(sizes.count) frames of \(piece) bytes, expected \(count)")
      }
      var offsets = [offset]
      offsets.reserveCapacity(count + 1)
      for size in try sizes.asArray() {
        let size = try size.asInt(in: 1...(data.count))
        guard size <= data.count - offset else {
          throw BessemerError(.truncated, "tensor \(quoted(name.string)) reaches beyond the end", file: file)
        }
        offset += size
        offsets.append(offset)
      }
      let frames = Frames(
        name: name, data: data, offsets: offsets, piece: piece, byteCount: byteCount,
        planes: ZstdFrame.planeCount(form.dtype), threads: threads, memoryLimit: memoryLimit, file: file)
      try store.append(
        TensorStore.Entry(name, form.dtype, shape: form.shape, file: file, layout: form.layout) { try frames.load() })
    }
    guard offset == data.count else {
      throw BessemerError(.tensorLayout, "\(data.count - offset) bytes after the last tensor", file: file)
    }
    return store
  }

  /// The frames of a tensor.
  private struct Frames {
    let name: TensorName
    let data: Bytes
    /// Where each frame starts, and the end of the last.
    let offsets: [Int]
    let piece: Int
    let byteCount: Int
    let planes: Int
    let threads: Int
    let memoryLimit: Int
    let file: String

    /// The bytes of the tensor in its layout.
    func load() throws -> Bytes {
      let count = offsets.count - 1
      guard byteCount <= memoryLimit else {
        throw BessemerError(
          .memory, "tensor \(quoted(name.string)) takes \(byteCount) bytes, at most \(memoryLimit) are allowed",
          file: file)
      }
      defer { data[offsets[0]..<offsets[count]].releasePages() }
      do {
        return try Bytes(byteCount: byteCount) { target in
          let workers = max(1, min(threads, count))
          // Each worker fills the pieces of its own numbers.
          try parallel(workers) { worker in
            let decompressor = try ZstdDecompressor()
            var planes = GrowingMemory()
            for index in stride(from: worker, to: count, by: workers) {
              try decompress(index, decompressor, &planes, target)
            }
          }
        }
      } catch let error as BessemerError {
        throw BessemerError(error.code, "tensor \(quoted(name.string)): \(error.message)", file: error.file ?? file)
      }
    }

    private func decompress(
      _ index: Int, _ decompressor: ZstdDecompressor, _ memory: inout GrowingMemory,
      _ target: UnsafeMutableRawBufferPointer
    ) throws {
      let start = index * piece
      let output = UnsafeMutableRawBufferPointer(rebasing: target[start..<min(start + piece, byteCount)])
      try data[offsets[index]..<offsets[index + 1]].withUnsafeBytes { frame in
        guard planes > 1 else { return try decompressor.decompress(frame, into: output) }
        let split = try memory.reserve(output.count)
        try decompressor.decompress(frame, into: split)
        ZstdFrame.join(UnsafeRawBufferPointer(split), planes: planes, into: output)
      }
    }
  }
}
