import Digests
import Quantization
import Safetensors
import Tensors

/// Whether what calibration finds out is kept in a file, or comes from one.
enum CalibrationStatistics {
  case unsaved
  case saving(SafetensorsAppender)
  case saved(SavedStatistics)

  /// Whether no sequences run.
  var areSaved: Bool { if case .saved = self { true } else { false } }

  /// What was found, or what a run found that saved it.
  ///
  /// - Parameters:
  ///   - step: the number of the recipe's step that looks.
  ///   - name: of the layer that is looked at, or the first that reads the value.
  ///   - columns: the channels of the value.
  func settled<S: Statistic>(_ found: S?, step: Int, _ name: String, columns: Int) throws -> S? {
    let key = TensorName("\(step).\(S.kind).\(name)")
    switch self {
    case .unsaved: return found
    case .saving(let file):
      if let found, !file.contains(key) { try file.append(key, found.tensor) }
      return found
    case .saved(let file): return try file.statistic(key, columns: columns)
    }
  }
}

/// A file of statistics that an earlier run saved.
struct SavedStatistics {
  private static let version = "bessemer.statistics/1"

  /// The data that a run looked at.
  struct Data {
    /// The digest of its file.
    let digest: String
    /// The most sequences of it, and tokens of each.
    let limit: Int
    let length: Int
  }

  private let path: String
  private let store: TensorStore
  let data: Data

  /// What a file has to hold for.
  struct Subject: Equatable {
    /// See ``TensorStore/sampledDigest()``.
    let model: Digest
    /// What is done to the model as far as statistics depend on it, see ``QuantizationRecipe/observed``.
    let steps: [String]
  }

  /// Throws ``ErrorCode/wrongFormat`` for a file that holds no statistics, ``ErrorCode/plan`` when they are for another
  /// model or other steps.
  init(_ path: String, for subject: Subject) throws {
    (self.path, (store, data)) = (path, try SavedStatistics.open(path))
    let again = "calibrate again with --calibration"
    guard store.metadata["model"] == "\(subject.model)" else {
      throw BessemerError(.plan, "holds statistics of another model; \(again)", file: path)
    }
    let steps = subject.steps.joined(separator: "\n")
    guard let saved = store.metadata["steps"], saved == steps else {
      throw BessemerError(
        .plan, "holds statistics for other steps than these, which what layers read depends on; \(again)", file: path,
        details: ["saved:"] + (store.metadata["steps"] ?? "").split(separator: "\n").map { escaped(String($0)) }
          + ["here:"] + subject.steps)
    }
  }

  private static func open(_ path: String) throws -> (TensorStore, Data) {
    let store = try SafetensorsFile(path: path).store()
    func number(_ key: TensorName) -> Int? { store.metadata[key].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil } }
    guard store.metadata["format"] == SavedStatistics.version, let digest = store.metadata["calibration-sha256"],
      let limit = number("samples"), let length = number("max-length")
    else {
      throw BessemerError(
        .wrongFormat, "holds no statistics of calibration; `quantize --save-statistics` writes them", file: path)
    }
    return (store, Data(digest: digest, limit: limit, length: length))
  }

  /// The data that a file's statistics are of. Throws ``ErrorCode/wrongFormat`` for a file that holds none.
  static func data(of path: String) throws -> Data { try open(path).1 }

  static func metadata(_ subject: Subject, _ data: Data) -> [TensorName: String] {
    [
      "format": version, "model": "\(subject.model)", "steps": subject.steps.joined(separator: "\n"),
      "calibration-sha256": data.digest, "samples": "\(data.limit)", "max-length": "\(data.length)",
    ]
  }

  fileprivate func statistic<S: Statistic>(_ key: TensorName, columns: Int) throws -> S {
    guard let entry = store[key] else {
      throw BessemerError(
        .plan, "lacks \(quoted(key.string)), which this algorithm needs; calibrate again with --calibration", file: path
      )
    }
    guard let found = try S(entry.tensor(), columns: columns) else {
      throw BessemerError(
        .wrongFormat, "tensor \(quoted(key.string)) of type \(entry.type) is no such statistic of \(columns) channels",
        file: path)
    }
    return found
  }
}

/// What options say of files of statistics.
struct StatisticsChoice {
  private let subject: SavedStatistics.Subject
  private let saved: SavedStatistics?
  private let target: (path: String, overwrite: Bool)?
  private let options: QuantizationOptions

  /// Throws ``ErrorCode/usage`` where statistics are of no use, and what ``SavedStatistics`` throws.
  ///
  /// - Parameter keepsWidest: whether a look at the data says which layers are kept.
  init(
    _ options: QuantizationOptions, _ recipe: QuantizationRecipe, _ weights: TensorStore, keepsWidest: Bool
  ) throws {
    let steps = recipe.observed(isCompatible: options.isCompatible)
    self.options = options
    target = options.savesStatistics.map { ($0, options.overwrite) }
    guard options.statistics != nil || target != nil else {
      (subject, saved) = (SavedStatistics.Subject(model: QuantizationPlan.digest(of: weights), steps: steps), nil)
      return
    }
    guard options.statistics == nil || options.calibration == nil, options.statistics == nil || target == nil else {
      throw BessemerError(.usage, "--statistics takes the place of --calibration and --save-statistics")
    }
    guard !steps.isEmpty else {
      throw BessemerError(.usage, "nothing here looks at data; leave out --statistics and --save-statistics")
    }
    guard !keepsWidest, !recipe.steps.contains(where: { $0.runsModel(isCompatible: options.isCompatible) }) else {
      throw BessemerError(
        .usage,
        "the recipe tries parts of the model out on the data, which statistics do not replace; give --calibration")
    }
    subject = SavedStatistics.Subject(model: try weights.sampledDigest(), steps: steps)
    guard let path = options.statistics else {
      saved = nil
      return
    }
    let file = try SavedStatistics(path, for: subject)
    if let digest = options.calibrationDigest, file.data.digest != digest.lowercased() {
      throw BessemerError(.plan, "holds statistics of other data than the plan's", file: path)
    }
    saved = file
  }

  func opened(_ model: LoadedModel, _ recipe: QuantizationRecipe) throws -> CalibrationStatistics {
    if let saved { return .saved(saved) }
    guard let target else { return .unsaved }
    // The room for a header that names four statistics of each layer for each step.
    let names = LinearFinder(model.graph).layers().reduce(0) { $0 + $1.module.utf8.count + 160 }
    let metadata = SavedStatistics.metadata(subject, data(""))
    let text = metadata.reduce(1024) { $0 + 2 * ($1.key.string.utf8.count + $1.value.utf8.count) }
    return .saving(
      try SafetensorsAppender(
        target.path, overwrite: target.overwrite, room: text + 4 * names * recipe.steps.count { $0.needsData }))
  }

  /// - Parameter calibration: the file of data.
  func finish(_ statistics: CalibrationStatistics, _ calibration: String?) throws {
    guard case .saving(let file) = statistics, let calibration else { return }
    let digest = try QuantizationOptions.digest(ofCalibration: calibration)
    try file.commit(metadata: SavedStatistics.metadata(subject, data(digest)))
  }

  private func data(_ digest: String) -> SavedStatistics.Data {
    SavedStatistics.Data(digest: digest, limit: options.calibrationLimit, length: options.calibrationLength)
  }
}

extension TensorStore {
  /// Bytes of a file that count of each megabyte, and files below which all do.
  private static let (sample, whole) = (4 << 10, 64 << 20)

  /// The digest of names, types and shapes, and of the files with weights: 4 KB of each megabyte of large ones.
  func sampledDigest() throws -> Digest {
    let hash = SHA256()
    QuantizationPlan.digest(of: self).bytes.withUnsafeBytes { hash.update($0) }
    // Tensors that were made have no file.
    for path in Set(entries.map(\.file)).sorted() where !path.isEmpty {
      let file = try InputFile(path: path)
      let step = 1 << 20
      let size = file.byteCount <= TensorStore.whole ? step : TensorStore.sample
      for start in stride(from: 0, to: file.byteCount, by: step) {
        try file.read(at: start, count: min(size, file.byteCount - start)).withUnsafeBytes { hash.update($0) }
      }
    }
    return hash.finish()
  }
}
