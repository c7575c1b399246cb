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
  private var losses: [TensorName: CastLosses] = [:]

  init(_ writer: BundleWriter, threads: Int, progress: @escaping (BundleProgress) -> Void) {
    self.writer = writer
    self.threads = threads
    self.progress = progress
    let ports = BundleManifest.ports(of: writer.graph)
    manifest = BundleManifest(
      toolVersion: writer.contents.toolVersion, modelType: writer.contents.modelType, target: writer.contents.target,
      inputs: ports.inputs, states: ports.states, outputs: ports.outputs,
      weights: BundleManifest.Weights(
        container: .safetensors, files: [], tensorCount: writer.stored.count, byteCount: writer.byteCount, forms: [:]),
      provenance: writer.contents.provenance, files: [])
    manifest.provenance.losses = []
  }

  func writeText(_ name: String, _ text: [UInt8]) throws {
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

  func writeCompressed() throws {
    manifest.weights.container = .zstd
    manifest.weights.files = [CompressedWeights.fileName, CompressedWeights.indexFileName]
    var index: [UInt8] = []
    try writeFile(CompressedWeights.fileName) { sink in
      index = try CompressedWeights.write(
        writer.stored, to: sink, threads: threads, progress: advance, note: note)
    }
    try writeText(CompressedWeights.indexFileName, index)
  }

  func writeSafetensors() throws {
    for tensor in writer.stored {
      let form = BundleManifest.Weights.Form(dtype: tensor.dtype, shape: tensor.shape, layout: tensor.layout)
      if tensor.layout != .rowMajor || tensor.dtype.safetensorsName == nil {
        manifest.weights.forms[tensor.name] = form
      }
    }
    let pipeline = OrderedPipeline(threads: threads) { PlainSlot() }
    let shards = writer.shards()
    for (number, shard) in shards.enumerated() {
      let name =
        shards.count == 1
        ? "weights.safetensors"
        : "weights-\(BundleRun.padded(number + 1))-of-\(BundleRun.padded(shards.count)).safetensors"
      let run = RunReference(run: self, pipeline: pipeline)
      let file = try SafetensorsWriter(
        shard.map { tensor in
          let (dtype, shape) = tensor.container
          return SafetensorsWriter.Entry(tensor.name, dtype, shape: shape) { try run.write(tensor, to: $0) }
        }, order: .aligned)
      try writeFile(name, byteCount: file.byteCount) { try file.write(to: $0) }
      manifest.weights.files.append(name)
    }
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

  /// Puts the losses of all tensors into the manifest, in the order of first use.
  func finish() {
    for tensor in writer.stored {
      for (types, count) in losses[tensor.name]?.counts.sorted(by: { $0.key < $1.key }) ?? [] where count.changed > 0 {
        manifest.provenance.losses.append(
          .init(tensor: tensor.name.string, from: types.from, to: types.to, count: count))
      }
    }
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
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

extension BundleWriter {
  /// The tensors dealt to files in order.
  func shards() -> [[StoredTensor]] {
    var shards: [[StoredTensor]] = [[]]
    var size = 0
    for tensor in stored {
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
