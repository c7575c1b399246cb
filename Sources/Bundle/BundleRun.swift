import IR
import Safetensors
import Tensors

/// The writing of one bundle: files with their digests, losses and progress.
final class BundleRun {
  private let writer: BundleWriter
  private let threads: Int
  private let progress: (BundleProgress) -> Void
  /// Where files go; set before the first is written.
  var folder: AtomicFolder?
  private(set) var manifest: BundleManifest
  private var done = 0
  /// By tensor of the graph that is written.
  private var losses: [TensorName: CastLosses] = [:]

  init(_ writer: BundleWriter, threads: Int, progress: @escaping (BundleProgress) -> Void) {
    self.writer = writer
    self.threads = threads
    self.progress = progress
    manifest = BundleManifest(
      toolVersion: writer.contents.toolVersion, modelType: writer.contents.modelType, target: writer.contents.target,
      graphs: [], provenance: writer.contents.provenance, files: [])
    manifest.provenance.losses = []
  }

  /// Writes a graph and its weights and lists them in the manifest.
  func write(_ part: BundleWriter.Part, compress: Bool) throws {
    losses = [:]
    try writeText(part.files.graph, Array(part.graph.text.utf8))
    let weights = try compress ? writeCompressed(part) : writeSafetensors(part)
    manifest.graphs.append(.init(part.name, file: part.files.graph, graph: part.graph, weights: weights))
    noteLosses(of: part)
  }

  private func writeText(_ name: String, _ text: [UInt8]) throws {
    try writeFile(name, byteCount: text.count) { try $0.write(text) }
  }

  /// Writes a file and lists it in the manifest.
  func writeFile(_ name: String, byteCount: Int? = nil, _ body: (any ByteSink) throws -> Void) throws {
    guard let folder else { preconditionFailure("no folder to write to") }
    try folder.write(name, byteCount: byteCount) { sink in
      let hashing = HashingSink(sink)
      try body(hashing)
      manifest.files.append(.init(name: name, byteCount: hashing.position, sha256: hashing.finish()))
    }
    manifest.files.sort { TensorName($0.name) < TensorName($1.name) }
  }

  private func writeCompressed(_ part: BundleWriter.Part) throws -> BundleManifest.Weights {
    var index: [UInt8] = []
    try writeFile(part.files.compressedWeights) { sink in
      index = try CompressedWeights.write(
        part.tensors, to: sink, threads: threads, progress: advance, note: note)
    }
    try writeText(part.files.compressedIndex, index)
    return BundleManifest.Weights(
      container: .zstd, files: [part.files.compressedWeights, part.files.compressedIndex],
      tensorCount: part.tensors.count, byteCount: part.byteCount, forms: [:])
  }

  private func writeSafetensors(_ part: BundleWriter.Part) throws -> BundleManifest.Weights {
    var weights = BundleManifest.Weights(
      container: .safetensors, files: [], tensorCount: part.tensors.count, byteCount: part.byteCount, forms: [:])
    for tensor in part.tensors {
      let form = BundleManifest.Weights.Form(dtype: tensor.dtype, shape: tensor.shape, layout: tensor.layout)
      if tensor.layout != .rowMajor || tensor.dtype.safetensorsName == nil { weights.forms[tensor.name] = form }
    }
    let pipeline = OrderedPipeline(threads: threads) { PlainSlot() }
    let shards = part.shards(of: writer.shardByteCount)
    for (number, shard) in shards.enumerated() {
      let name = part.files.weights(number + 1, of: shards.count)
      let run = RunReference(run: self, pipeline: pipeline)
      let file = try SafetensorsWriter(
        shard.map { tensor in
          let (dtype, shape) = tensor.container
          return SafetensorsWriter.Entry(tensor.name, dtype, shape: shape) { try run.write(tensor, to: $0) }
        }, order: .aligned)
      try writeFile(name, byteCount: file.byteCount) { try file.write(to: $0) }
      weights.files.append(name)
    }
    return weights
  }

  fileprivate func write(_ tensor: StoredTensor, to sink: any ByteSink, _ pipeline: OrderedPipeline<PlainSlot>) throws {
    if let existing = try tensor.existing() {
      for start in stride(from: 0, to: existing.count, by: 1 << 24) {
        let piece = existing[start..<min(existing.count, start + 1 << 24)]
        try sink.write(piece)
        advance(tensor, piece.count)
      }
      tensor.reader.forget()
      return
    }
    var losses = CastLosses()
    try pipeline.run(tensor.pieceCount) { index, slot in
      slot.losses = CastLosses()
      let content = try slot.content.reserve(tensor.byteCount(ofPiece: index))
      let scratch = tensor.layout == .panels ? try slot.scratch.reserve(tensor.pieceByteCount) : content
      try tensor.write(piece: index, to: content, scratch: scratch, losses: &slot.losses)
    } consume: { index, slot in
      let size = tensor.byteCount(ofPiece: index)
      losses += slot.losses
      try sink.write(UnsafeRawBufferPointer(slot.content.buffer(size)))
      advance(tensor, size)
    }
    note(tensor, losses)
    tensor.reader.forget()
  }

  private func advance(_ tensor: StoredTensor, _ byteCount: Int) {
    if done >> 24 != (done + byteCount) >> 24 { tensor.reader.releasePages() }
    done += byteCount
    progress(BundleProgress(done: done, total: writer.byteCount, name: tensor.name.string))
  }

  private func note(_ tensor: StoredTensor, _ losses: CastLosses) {
    if !losses.counts.isEmpty { self.losses[tensor.name] = losses }
  }

  /// Puts the losses of a graph's tensors into the manifest, in the order of first use; where there are several graphs,
  /// behind the graph's name.
  private func noteLosses(of part: BundleWriter.Part) {
    let prefix = writer.parts.count == 1 ? "" : part.name + "/"
    for tensor in part.tensors {
      for (types, count) in losses[tensor.name]?.counts.sorted(by: { $0.key < $1.key }) ?? [] where count.changed > 0 {
        manifest.provenance.losses.append(
          .init(tensor: prefix + tensor.name.string, from: types.from, to: types.to, count: count))
      }
    }
  }
}

/// Memory for one piece.
final class PlainSlot {
  var content = GrowingMemory()
  var scratch = GrowingMemory()
  var losses = CastLosses()
}

/// What the safetensors writer calls back for each tensor, on the thread that writes.
private struct RunReference: @unchecked Sendable {
  let run: BundleRun
  let pipeline: OrderedPipeline<PlainSlot>

  func write(_ tensor: StoredTensor, to sink: any ByteSink) throws { try run.write(tensor, to: sink, pipeline) }
}

extension BundleWriter.Part {
  /// The tensors dealt in order to files of at most this size.
  func shards(of shardByteCount: Int) -> [[StoredTensor]] {
    var shards: [[StoredTensor]] = [[]]
    var size = 0
    for tensor in tensors {
      if size > 0, tensor.byteCount > shardByteCount - size {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += tensor.byteCount
    }
    return shards
  }
}

extension StoredTensor {
  /// Type and shape under which the tensor stands in a safetensors file.
  var container: (dtype: DType, shape: [Int]) {
    let type = StoredTensor.container(dtype, shape: shape, layout)
    return (type.dtype, type.shape ?? [])
  }

  /// Type and shape under which a tensor stands in a safetensors file: panels as an array of panels, types that the
  /// format lacks as bytes.
  static func container(_ dtype: DType, shape: [Int], _ layout: WeightLayout) -> TensorType {
    if layout == .panels, let panels = WeightLayout.panelShape(dtype, shape: shape) {
      return TensorType(dtype, shape: panels)
    }
    guard dtype.safetensorsName == nil else { return TensorType(dtype, shape: shape) }
    return TensorType(.uint8, shape: [layout.byteCount(dtype, shape: shape) ?? 0])
  }
}
