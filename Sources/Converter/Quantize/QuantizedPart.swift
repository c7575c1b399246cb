import Quantization
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
    let stored =
      try inFile(entry.file) { try kept?.codes(rows) } ?? prepared.codes[weight.module]?.rows(rows, of: weight.rows)
    let row = weight.columns * weight.dtype.bits / 8
    let window =
      try stored == nil ? entry.window((rows.lowerBound * row)..<(rows.upperBound * row)) : Bytes([])
    defer { window.releasePages() }
    let biases = try bias.map { try (prepared[$0.name] ?? $0).tensor().cast(to: .float32) }
    let source = WeightRows(
      weight, rows, bytes: window, bias: biases.map { $0.doubles[rows].map { Float($0) } },
      input: prepared.grids[weight.module],
      method: method, stored: stored)
    let made = try inFile(entry.file) { try scheme.quantize(source) }
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
}
