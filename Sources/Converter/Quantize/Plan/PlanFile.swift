internal import Digests
internal import Quantization
internal import Tensors
internal import YAML

/// Plans as YAML.
extension QuantizationPlan {
  private static let version = "bessemer.plan/1"

  /// Reads a file. Throws ``ErrorCode/yaml`` for what is none, ``ErrorCode/plan`` for what is no plan.
  public init(path: String) throws {
    let root = try YAML.read(path)
    self = try inFile(path) { try QuantizationPlan.read(root) }
  }

  private static func read(_ root: YAML) throws -> QuantizationPlan {
    var (source, options, units): (Digest?, QuantizationOptions, [Unit]?) = (nil, QuantizationOptions(scheme: nil), nil)
    var totals = Totals()
    var isPlan = false
    for member in try root.asMapping() {
      let value = member.value
      switch member.key {
      case "plan":
        guard try value.asString() == version else { throw value.mismatch(version) }
        isPlan = true
      case "source":
        guard let digest = try Digest(hex: value.asString()) else { throw value.mismatch("64 hexadecimal digits") }
        source = digest
      case "settings":
        for setting in try value.asMapping() {
          do { try options.set(setting.key, setting.value.asString()) } catch let error as BessemerError
            where error.code == .usage
          { throw BessemerError(.plan, "line \(setting.line): \(error.message)") }
        }
      case "expected": totals = try Totals(value)
      case "units": units = try value.asSequence().map(unit)
      default: throw unknown(member.key, member.line)
      }
    }
    guard isPlan, let source, let units else {
      throw BessemerError(.plan, "is no plan: \"plan\", \"source\" and \"units\" are needed")
    }
    var plan = QuantizationPlan(source: source, options: options, units: units)
    (plan.rowCount, plan.byteCount, plan.bitsPerWeight) = (totals.rows, totals.bytes, totals.bits)
    plan.divergence = totals.divergence
    return plan
  }

  private struct Totals {
    var (rows, bytes): (Int?, Int?)
    var (bits, divergence): (Double?, Double?)

    init() {}

    init(_ value: YAML) throws {
      for member in try value.asMapping() {
        switch member.key {
        case "bytes": bytes = try member.value.asInt()
        case "bits-per-weight": bits = try member.value.asDouble()
        case "kl": divergence = try member.value.asDouble()
        case "rows": rows = try member.value.asInt()
        default: throw unknown(member.key, member.line)
        }
      }
    }
  }

  private static func unit(_ value: YAML) throws -> Unit {
    var (layers, scheme): ([String]?, String?)
    var (bytes, error, divergence): (Int?, Double?, Double?)
    for member in try value.asMapping() {
      switch member.key {
      case "layers": layers = try member.value.asSequence().map { try $0.asString() }
      case "scheme":
        let word = try member.value.asString()
        guard word == float || LinearSchemes.scheme(word) != nil || BlockQuantization.type(word) != nil else {
          let names = LinearSchemes.all.map { $0.name }.joined(separator: ", ")
          throw BessemerError(
            .plan, "line \(member.line): no scheme \(quoted(word)); expected float or one of \(names)")
        }
        scheme = word
      case "bytes": bytes = try member.value.asInt()
      case "error": error = try member.value.asDouble()
      case "kl": divergence = try member.value.asDouble()
      default: throw unknown(member.key, member.line)
      }
    }
    guard let layers, !layers.isEmpty, let scheme else { throw value.mismatch("\"layers\" and a \"scheme\"") }
    var unit = Unit(layers, scheme)
    (unit.byteCount, unit.error, unit.divergence) = (bytes, error, divergence)
    return unit
  }

  private static func unknown(_ key: String, _ line: Int) -> BessemerError {
    BessemerError(.plan, "line \(line): the key \(quoted(key)) is not known")
  }

  // MARK: Writing

  /// The text of the file.
  public var text: String {
    var lines = [
      "# What becomes of each linear layer. `bessemer quantize apply` does this and nothing else;",
      "# schemes may be changed, the numbers beside them are for the reader.", "plan: \(QuantizationPlan.version)",
      "source: \(source)",
    ]
    let settings = options.settings
    if !settings.isEmpty {
      lines.append("settings:")
      lines += settings.map { "  \($0.key): \(QuantizationPlan.scalar($0.value))" }
    }
    lines.append("expected:")
    if let rowCount { lines.append("  rows: \(rowCount)") }
    if let byteCount { lines.append("  bytes: \(byteCount)") }
    if let bitsPerWeight { lines.append("  bits-per-weight: \(Float(bitsPerWeight))") }
    if let divergence {
      lines += [
        "  # The sum of the units', each its part of what its scheme costs everywhere.", "  kl: \(Float(divergence))",
      ]
    }
    lines.append("units:")
    for unit in units {
      lines.append("  - scheme: \(QuantizationPlan.scalar(unit.scheme))")
      if let bytes = unit.byteCount { lines.append("    bytes: \(bytes)") }
      if let error = unit.error { lines.append("    error: \(Float(error))") }
      if let divergence = unit.divergence { lines.append("    kl: \(Float(divergence))") }
      lines.append("    layers:")
      lines += unit.layers.map { "      - \(QuantizationPlan.scalar($0))" }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Writes the file.
  public func write(to path: String, overwrite: Bool) throws {
    try AtomicWriter.write(to: path, overwrite: overwrite) { file in
      let text = Array(text.utf8)
      try text.withUnsafeBytes { try file.write($0) }
    }
  }

  /// A text as it stands in YAML, in quotes unless it is a plain word.
  private static func scalar(_ text: String) -> String {
    let isPlain = text.utf8.first.map { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: ".") } ?? false
    guard isPlain, text.utf8.allSatisfy({ isPlainByte($0) }) else {
      var json = JSONWriter(.compact)
      json.value(text)
      return json.text
    }
    return text
  }

  private static func isPlainByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "/"):
      true
    default: false
    }
  }
}
