internal import Tensors

/// What is said of quantization beside the schemes of layers, as words: what plans and measurements keep.
extension QuantizationOptions {
  private struct Setting {
    let key: String
    let get: (QuantizationOptions) -> String?
    let set: (inout QuantizationOptions, String) throws -> Void
  }

  private static var known: [Setting] {
    func text(_ key: String, _ path: WritableKeyPath<QuantizationOptions, String?>) -> Setting {
      Setting(key: key, get: { $0[keyPath: path] }, set: { $0[keyPath: path] = $1 })
    }
    func word(_ key: String, _ path: WritableKeyPath<QuantizationOptions, String>) -> Setting {
      let usual = QuantizationOptions(scheme: nil)[keyPath: path]
      return Setting(
        key: key, get: { $0[keyPath: path] == usual ? nil : $0[keyPath: path] }, set: { $0[keyPath: path] = $1 })
    }
    func flag(_ key: String, _ path: WritableKeyPath<QuantizationOptions, Bool>) -> Setting {
      Setting(key: key, get: { $0[keyPath: path] ? "true" : nil }) { options, value in
        guard let flag = ["true": true, "false": false][value] else {
          throw BessemerError(.usage, "\(key) takes true or false, not \(quoted(value))")
        }
        options[keyPath: path] = flag
      }
    }
    func number(_ key: String, _ value: String) throws -> Int {
      guard let number = Int(value), (1...(1 << 30)).contains(number) else {
        throw BessemerError(.usage, "\(key) takes a number from 1 to \(1 << 30), not \(quoted(value))")
      }
      return number
    }
    return [
      word("format", \.format), word("method", \.method), text("smooth", \.smoothing), text("rotate", \.rotates),
      Setting(
        key: "rotation-block", get: { $0.rotationBlock.map { "\($0)" } },
        set: { $0.rotationBlock = try number("rotation-block", $1) }),
      flag("smooth-keys", \.smoothsKeys), text("kv-cache", \.cache), word("input-range", \.inputRange),
      flag("symmetric-inputs", \.isInputSymmetric),
      Setting(
        key: "compat", get: { $0.isCompatible ? "msmodelslim" : nil },
        set: { options, value in
          guard value == "msmodelslim" else {
            throw BessemerError(.usage, "compat takes msmodelslim, not \(quoted(value))")
          }
          options.isCompatible = true
        }),
      text("calibration-sha256", \.calibrationDigest),
      Setting(
        key: "samples", get: { $0.calibrationDigest == nil ? nil : "\($0.calibrationLimit)" },
        set: { $0.calibrationLimit = try number("samples", $1) }),
      Setting(
        key: "max-length", get: { $0.calibrationDigest == nil ? nil : "\($0.calibrationLength)" },
        set: { $0.calibrationLength = try number("max-length", $1) }),
    ]
  }

  /// What differs from what is usual, in a fixed order.
  var settings: [(key: String, value: String)] {
    QuantizationOptions.known.compactMap { setting in setting.get(self).map { (setting.key, $0) } }
  }

  /// The same with the digest of the calibration data, or of that which saved statistics are of, if one of the schemes
  /// needs data; without any else. Where the file lies is not kept.
  func withCalibrationDigest(for schemes: [String]) throws -> QuantizationOptions {
    var options = self
    let words = schemes.filter { $0 != QuantizationPlan.float }.map { (scheme: $0, modules: Set<String>()) }
    if try !QuantizationRecipe(self, words).needsData { options.calibration = nil }
    options.calibrationDigest = try options.calibration.map { try QuantizationOptions.digest(ofCalibration: $0) }
    if let statistics {
      let data = try SavedStatistics.data(of: statistics)
      options.calibrationDigest = data.digest
      (options.calibrationLimit, options.calibrationLength) = (data.limit, data.length)
    }
    return options
  }

  /// Throws ``ErrorCode/usage`` for a key that is none, or a value that is none for it.
  mutating func set(_ key: String, _ value: String) throws {
    guard let setting = QuantizationOptions.known.first(where: { $0.key == key }) else {
      let keys = QuantizationOptions.known.map(\.key).joined(separator: ", ")
      throw BessemerError(.usage, "no setting \(quoted(key)); expected one of \(keys)")
    }
    try setting.set(&self, value)
  }
}
