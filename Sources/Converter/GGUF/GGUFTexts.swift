internal import Checkpoints
internal import Tensors

/// The metadata of a GGUF file by the values it stands for. Keys without a dot in front are those of the architecture.
struct GGUFTexts {
  let metadata: [TensorName: String]
  let architecture: String

  private func text(_ key: String) -> String? { metadata[TensorName("\(architecture).\(key)")] }

  func has(_ key: String) -> Bool { text(key) != nil }

  private func value<T>(_ key: String, _ what: String, _ parse: (String) -> T?) throws -> T {
    guard let text = text(key) else {
      throw BessemerError(.config, "the metadata lacks \(quoted("\(architecture).\(key)"))")
    }
    guard let value = parse(text) else {
      throw BessemerError(.config, "\(quoted("\(architecture).\(key)")) is \(quoted(text)), expected \(what)")
    }
    return value
  }

  func count(_ key: String) throws -> Int {
    try value(key, "a whole number") { GGUFText.integer($0).flatMap { (0...(1 << 48)).contains($0) ? $0 : nil } }
  }

  func number(_ key: String) throws -> Double {
    try value(key, "a number") { GGUFText.number($0).flatMap { $0.isFinite ? $0 : nil } }
  }

  func flag(_ key: String) throws -> Bool {
    try value(key, "a truth value") { $0 == "bool:true" ? true : $0 == "bool:false" ? false : nil }
  }

  func string(_ key: String) -> String? { text(key).map { GGUFText.string(ofText: $0) } }

  /// The strings of a whole key, such as the tokens of the vocabulary; nil when there are none.
  func strings(_ key: TensorName) -> [String]? { metadata[key].flatMap(GGUFText.strings(ofText:)) }

  /// The numbers of a whole key.
  func numbers(_ key: TensorName) -> [Double]? { metadata[key].flatMap(GGUFText.numbers(ofText:)) }
}
