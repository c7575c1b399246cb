import Quantization
import Synchronization
import Tensors

/// A tensor of the model and what it becomes: the tensors of a scheme, or itself.
struct QuantizedPart: Sendable {
  let entry: TensorStore.Entry
  let scheme: (any LinearScheme)?
  private let weight: LinearWeight?
  private let bias: TensorStore.Entry?
  private let method: WeightMethod
  /// The weight whose codes are kept; nil where they are found.
  private let kept: (any ForeignWeight)?
  /// Whether the bias keeps its type.
  private let keepsBias: Bool

  /// A tensor that keeps its values.
  init(_ entry: TensorStore.Entry) {
    self.entry = entry
    (scheme, weight, bias, method, kept, keepsBias) = (nil, nil, nil, .minmax, nil, true)
  }

  init(
    _ entry: TensorStore.Entry, _ weight: LinearWeight, _ scheme: any LinearScheme, bias: TensorStore.Entry?,
    method: WeightMethod, keepsCodes: Bool,
    keepsBias: Bool
  ) throws {
    self.entry = entry
    self.scheme = scheme
    self.weight = weight
    self.bias = bias
    self.method = method
    self.keepsBias = keepsBias || scheme.keepsBias
    kept = try (keepsCodes ? entry.foreign : nil).flatMap { try $0.agrees(with: scheme) ? $0 : nil }
  }

  /// Whether codes of the model are taken over, so that nothing is rounded.
  var keepsCodes: Bool { kept != nil }

  /// The layer, where it is quantized.
  var module: String? { weight?.module }

  /// Bytes of the source that are quantized at a time, unless a row has more.
  private static let pieceByteCount = 1 << 20

  func add(to package: inout AscendV1) {
    guard let weight, let scheme else { return package.add(entry.name, entry.dtype, shape: entry.shape) }
    package.add(weight, scheme, hasBias: bias != nil)
  }

  /// Rows that are made together; one empty range stands for a tensor that is copied whole.
  var pieces: [Range<Int>] {
    guard let weight, let scheme else { return [0..<0] }
    if method.needsWholeWeight, kept == nil { return [0..<weight.rows] }
    let row = weight.columns * weight.dtype.bits / 8
    let step = max(1, QuantizedPart.pieceByteCount / row / scheme.rowMultiple) * scheme.rowMultiple
    return stride(from: 0, to: weight.rows, by: step).map { $0..<min($0 + step, weight.rows) }
  }

  func sourceByteCount(_ rows: Range<Int>) -> Int {
    guard let weight else { return entry.byteCount }
    return rows.count * weight.columns * weight.dtype.bits / 8
      + (rows.upperBound == weight.rows ? bias?.byteCount ?? 0 : 0)
  }

  /// The bytes of a piece, and where in their tensors they stand.
  func make(
    _ rows: Range<Int>, of prepared: PreparedWeights
  ) throws -> [(name: TensorName, offset: Int, bytes: Bytes)] {
    let entry = prepared[entry.name] ?? entry
    guard let weight, let scheme else {
      var offset = 0
      var made: [(name: TensorName, offset: Int, bytes: Bytes)] = []
      try entry.forEachPiece { bytes in
        made.append((entry.name, offset, bytes))
        offset += bytes.count
      }
      return made
    }
    let biases = try bias.map { try (prepared[$0.name] ?? $0).tensor().cast(to: .float32) }
    let source = try source(rows, weight, biases, of: prepared)
    defer { source.bytes.releasePages() }
    let made = try inFile(entry.file) { try scheme.quantize(source) }
    return try place(made, rows, weight, scheme, biases)
  }

  /// A piece as it is quantized.
  private func source(
    _ rows: Range<Int>, _ weight: LinearWeight, _ biases: Tensor?, of prepared: PreparedWeights
  ) throws -> WeightRows {
    let entry = prepared[entry.name] ?? entry
    let stored =
      try inFile(entry.file) { try kept?.codes(rows) } ?? prepared.codes[weight.module]?.rows(rows, of: weight.rows)
    let row = weight.columns * weight.dtype.bits / 8
    let window =
      try stored == nil ? entry.window((rows.lowerBound * row)..<(rows.upperBound * row)) : Bytes([])
    return WeightRows(
      weight, rows, bytes: window, bias: biases.map { $0.doubles[rows].map { Float($0) } },
      input: prepared.grids[weight.module],
      method: method, stored: stored)
  }

  private func place(
    _ made: [Bytes], _ rows: Range<Int>, _ weight: LinearWeight, _ scheme: any LinearScheme, _ biases: Tensor?
  ) throws -> [(name: TensorName, offset: Int, bytes: Bytes)] {
    var parts: [(name: TensorName, offset: Int, bytes: Bytes)] = []
    for (tensor, bytes) in zip(scheme.tensors(weight), made) where bytes.count > 0 {
      let size = Tensor.byteCount(tensor.dtype, shape: tensor.shape) ?? 0
      parts.append((TensorName("\(weight.module).\(tensor.suffix)"), size / weight.rows * rows.lowerBound, bytes))
    }
    if let biases, rows.lowerBound == 0 {
      let stored = keepsBias ? try biases.cast(to: weight.dtype) : biases
      parts.append((TensorName(weight.module + ".bias"), 0, stored.bytes))
    }
    return parts
  }

  /// The tensors of a quantized layer in memory, without its bias, and the squares of what is lost of the weight and of
  /// the weight; pieces are made by all threads.
  func tensors(
    of prepared: PreparedWeights, threads: Int
  ) throws -> (tensors: [TensorName: Tensor], lost: Double, all: Double) {
    guard let weight, let scheme else { return ([:], 0, 0) }
    let pieces = pieces
    let found = Mutex([Int: (made: [(name: TensorName, offset: Int, bytes: Bytes)], lost: Double, all: Double)]())
    try inParallel(pieces.count, threads: threads) { index in
      let rows = pieces[index]
      let biases = try bias.map { try (prepared[$0.name] ?? $0).tensor().cast(to: .float32) }
      let source = try source(rows, weight, biases, of: prepared)
      defer { source.bytes.releasePages() }
      let made = try inFile(entry.file) { try scheme.quantize(source) }
      var (lost, all) = (0.0, 0.0)
      if kept == nil {
        // Codes that were found by looking at data come without the elements that they stand for.
        let row = weight.columns * weight.dtype.bits / 8
        let bytes = try (prepared[entry.name] ?? entry).window((rows.lowerBound * row)..<(rows.upperBound * row))
        defer { bytes.releasePages() }
        let values = try Tensor(weight.dtype, shape: [rows.count, weight.columns], bytes: bytes).floats
        for (own, stored) in zip(values, try scheme.values(source, made)) {
          lost += Double(own - stored) * Double(own - stored)
          all += Double(own) * Double(own)
        }
      }
      let placed = try place(made, rows, weight, scheme, biases)
      found.withLock { $0[index] = (placed, lost, all) }
    }
    let made = found.withLock { $0 }
    var (tensors, lost, all): ([TensorName: Tensor], Double, Double) = ([:], 0, 0)
    for tensor in scheme.tensors(weight) {
      let name = TensorName("\(weight.module).\(tensor.suffix)")
      var bytes = [UInt8](repeating: 0, count: Tensor.byteCount(tensor.dtype, shape: tensor.shape) ?? 0)
      for piece in made.values.lazy.flatMap(\.made) where piece.name == name {
        piece.bytes.withUnsafeBytes { bytes.replaceSubrange(piece.offset..<(piece.offset + $0.count), with: $0) }
      }
      tensors[name] = try Tensor(tensor.dtype, shape: tensor.shape, bytes: Bytes(bytes))
    }
    for index in pieces.indices {
      lost += made[index]?.lost ?? 0
      all += made[index]?.all ?? 0
    }
    return (tensors, lost, all)
  }
}
