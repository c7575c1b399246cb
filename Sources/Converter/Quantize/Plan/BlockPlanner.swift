internal import Checkpoints
internal import Quantization
internal import Synchronization
internal import Tensors

/// Plans of GGUF files: an encoding for each matrix, as `--tensor-type` gives one in llama-quantize.
extension QuantizationPlanner {
  /// Plans a GGUF file of a model; of the weights some rows are read.
  ///
  /// - Parameters:
  ///   - options: matrices whose encoding is said, by their names in the file; nothing else counts.
  ///   - candidates: encodings, or `float` for matrices as the model has them. The output's matrix gets none of fewer
  ///     than six bits.
  ///   - rows: rows to look at of each matrix.
  /// - Throws: ``ErrorCode/usage`` for a target that cannot be met, with the nearest that can.
  public init(
    gguf path: String, _ options: QuantizationOptions, target: Target?, candidates: [String], rows: Int = 16
  ) throws {
    let isPlain = options.settings.allSatisfy { $0.key == "format" && $0.value == BlockQuantization.format }
    guard isPlain, options.calibration == nil, options.statistics == nil else {
      throw BessemerError(
        .usage, "encodings of GGUF files look at no data and change nothing first; leave out methods, formats and data")
    }
    let tensors = try BlockTensors(path)
    for pattern in options.overrides.map(\.pattern) + options.keep
    where try !tensors.matrices.contains(where: { try pattern.matches($0.name.string) }) {
      throw BessemerError(
        .usage, "\(quoted(pattern.text)) matches none of the \(tensors.matrices.count) matrices; names are the file's")
    }
    let usual = try candidates.map(QuantizationPlanner.encoding)
    var (units, notes): ([PlanUnit], [String]) = ([], [])
    var misfits: [String: (count: Int, name: String)] = [:]
    for matrix in tensors.matrices {
      var wanted = matrix.isHead ? QuantizationPlanner.fine(usual, for: matrix) : usual
      if try options.keep.contains(where: { try $0.matches(matrix.name.string) }) { wanted = [nil] }
      if let said = try options.overrides.last(where: { try $0.pattern.matches(matrix.name.string) }) {
        wanted = [try QuantizationPlanner.encoding(said.scheme)]
      }
      var unit = PlanUnit(named: matrix.name.string)
      for type in wanted {
        guard let size = matrix.byteCount(type) else {
          misfits[type?.rawValue ?? "", default: (0, unit.name)].count += 1
          continue
        }
        unit.candidates.append(
          PlanUnit.Candidate(
            name: type?.rawValue ?? QuantizationPlan.float, scheme: nil, byteCount: size,
            headerByteCount: -size & (GGUF.defaultAlignment - 1)))
      }
      guard !unit.candidates.isEmpty else {
        throw BessemerError(
          .unsupportedFeature,
          "\(quoted(unit.name)) has rows of \(matrix.width) numbers, which are no whole blocks of any candidate; add "
            + "q8_0 or float to the candidates")
      }
      units.append(unit)
    }
    notes = misfits.sorted { $0.key < $1.key }.map { name, misfit in
      "\(name) is no candidate for \(misfit.count) of \(units.count) matrices: rows of \(quoted(misfit.name)) are no "
        + "whole blocks"
    }
    try QuantizationPlanner.expectErrors(&units, tensors.matrices, rows: rows, threads: options.threads)
    let chosen = try QuantizationPlanner.choose(
      units, target, rest: tensors.rest, elements: tensors.elementCount, prepared: 0)
    var settings = QuantizationOptions(scheme: nil)
    settings.format = BlockQuantization.format
    let plan = QuantizationPlanner.plan(
      units, chosen, tensors.rest.byteCount, QuantizationPlan.digest(of: tensors.store), settings,
      elements: tensors.elementCount, rows: rows)
    self.init(plan: plan, notes: notes)
  }

  /// Throws ``ErrorCode/usage`` for a word that is no encoding; nil for `float`.
  private static func encoding(_ word: String) throws -> BlockType? {
    if word == QuantizationPlan.float { return nil }
    if let type = BlockQuantization.type(word) { return type }
    let known = BlockType.writable.map(\.rawValue).joined(separator: ", ")
    throw BessemerError(
      .usage, "\(quoted(word)) is no encoding of GGUF files, as other candidates are; expected float or one of \(known)"
    )
  }

  /// Those of six bits and more; six bits where there are none, if its blocks fit.
  private static func fine(_ types: [BlockType?], for matrix: BlockTensors.Matrix) -> [BlockType?] {
    let found = types.filter { type in type.map { $0.bitsPerNumber >= BlockType.q6k.bitsPerNumber } ?? true }
    guard found.isEmpty else { return found }
    return matrix.byteCount(.q6k) == nil ? types : [.q6k]
  }

  /// Finds what is lost of some rows by each candidate: squares by squares.
  private static func expectErrors(
    _ units: inout [PlanUnit], _ matrices: [BlockTensors.Matrix], rows: Int, threads: Int
  ) throws {
    let types = units.map { $0.candidates.map { BlockQuantization.type($0.name) } }
    let found = Mutex([[Double]](repeating: [], count: matrices.count))
    try inParallel(matrices.count, threads: threads) { index in
      guard types[index].contains(where: { $0 != nil }) else { return }
      let sample = try matrices[index].sample(rows: rows)
      let errors = try types[index].map { try $0.map { try BlockTensors.error($0, of: sample) } ?? 0 }
      found.withLock { $0[index] = errors }
    }
    for (index, errors) in found.withLock({ $0 }).enumerated() {
      for (k, error) in errors.enumerated() { units[index].candidates[k].error = error }
    }
  }
}

extension BlockType {
  var bitsPerNumber: Double { 8 * Double(byteCount) / Double(elementCount) }
}
