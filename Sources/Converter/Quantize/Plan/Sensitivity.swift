public import Digests
internal import Quantization
public import Tensors

/// What it costs to quantize parts of a model one at a time, as measured on a text.
public struct Sensitivity: Sendable {
  /// A linear layer of a unit: squares of what is lost, by squares of what there was.
  public struct Linear: Sendable {
    public let name: String
    /// Of its weight.
    public var weightError: Double
    /// Of what it gives for the same input; nil where the matrices of experts share an output.
    public var outputError: Double?
  }

  /// Layers that share a scheme, quantized alone.
  public struct Unit: Sendable {
    public let scheme: String
    public var linears: [Linear]
    /// The mean Kullback-Leibler divergence of the model, in nats.
    public var divergence: Double

    public var name: String {
      linears.count == 1 ? linears[0].name : "\(linears[0].name) and \(linears.count - 1) more"
    }
  }

  /// A layer of the model with all that is quantized in it by default.
  public struct Layer: Sendable {
    public let name: String
    public let scheme: String
    public var divergence: Double
  }

  public static let schema = "quantize-sensitivity"

  /// What names, types and shapes of the model's tensors come to.
  public let source: Digest
  /// How it was quantized, beside schemes.
  public let settings: [(key: String, value: String)]
  public let schemes: [String]
  /// For each scheme the divergence of the model with all layers in it that can be.
  public var wholes: [Double]
  /// For each scheme the divergence of the model that is smoothed or rotated for it, with nothing quantized: what
  /// rounding of changed weights costs, a part of every other divergence.
  public var prepared: [Double] = []
  /// The chip whose arithmetic it was.
  public let chip: String
  public var sequences = 0
  public var positions = 0
  public var units: [Unit]
  public var layers: [Layer]

  // MARK: JSON

  /// Reads what ``write(_:)`` wrote. Throws ``ErrorCode/json`` for another form.
  public init(path: String) throws {
    self = try inFile(path) {
      try Sensitivity(JSON.parse(InputFile.contents(of: path, limit: Sensitivity.maximumByteCount)))
    }
  }

  /// No file is larger.
  public static let maximumByteCount = 64 << 20

  init(
    source: Digest, settings: [(key: String, value: String)], schemes: [String], chip: String, units: [Unit],
    layers: [Layer]
  ) {
    (self.source, self.settings, self.schemes, self.chip) = (source, settings, schemes, chip)
    (self.units, self.layers, wholes) = (units, layers, [])
  }

  private init(_ json: JSON) throws {
    let schema = try json.required("schema")
    guard try schema.asString() == "bessemer.\(Sensitivity.schema)/1" else {
      throw schema.mismatch("bessemer.\(Sensitivity.schema)/1, which `bessemer quantize sensitivity --json` writes")
    }
    let digest = try json.required("source")
    guard let source = try Digest(hex: digest.asString()) else { throw digest.mismatch("64 hexadecimal digits") }
    self.source = source
    settings = try json.required("settings").asObject().map { (String($0.key), try $0.value.asString()) }
    schemes = try json.required("schemes").asArray().map { try $0.asString() }
    chip = try json.required("soc").asString()
    sequences = try json.required("sequences").asInt()
    positions = try json.required("positions").asInt()
    func number(_ value: JSON) throws -> Double {
      let number = try value.asDouble()
      guard number.isFinite, number >= 0 else { throw value.mismatch("a number that is not negative") }
      return number
    }
    units = try json.required("units").asArray().map { unit in
      let linears = try unit.required("linears").asArray().map { linear in
        Linear(
          name: try linear.required("name").asString(), weightError: try number(linear.required("weight_error")),
          outputError: try linear.optional("output_error").map(number))
      }
      guard !linears.isEmpty else { throw unit.mismatch("a unit of at least one layer") }
      return Unit(
        scheme: try unit.required("scheme").asString(), linears: linears, divergence: try number(unit.required("kl")))
    }
    wholes = try json.required("whole_kl").asArray().map(number)
    prepared = try json.required("prepared_kl").asArray().map(number)
    guard wholes.count == schemes.count, prepared.count == schemes.count else {
      throw json.mismatch("a whole_kl and a prepared_kl for each scheme")
    }
    layers = try json.required("layers").asArray().map { layer in
      Layer(
        name: try layer.required("name").asString(), scheme: try layer.required("scheme").asString(),
        divergence: try number(layer.required("kl")))
    }
  }

  /// Writes the members of an object.
  public func write(_ json: inout JSONWriter) {
    json.member("source", source.description)
    json.object("settings") { json in for setting in settings { json.member(setting.key, setting.value) } }
    json.array("schemes", schemes)
    json.array("whole_kl") { json in for whole in wholes { json.value(whole) } }
    json.array("prepared_kl") { json in for prepared in prepared { json.value(prepared) } }
    json.member("soc", chip)
    json.member("sequences", sequences)
    json.member("positions", positions)
    json.array("units") { json in
      for unit in units {
        json.object { json in
          json.member("scheme", unit.scheme)
          json.member("kl", unit.divergence)
          json.array("linears") { json in
            for linear in unit.linears {
              json.object { json in
                json.member("name", linear.name)
                json.member("weight_error", linear.weightError)
                if let error = linear.outputError { json.member("output_error", error) }
              }
            }
          }
        }
      }
    }
    json.array("layers") { json in
      for layer in layers {
        json.object { json in
          json.member("name", layer.name)
          json.member("scheme", layer.scheme)
          json.member("kl", layer.divergence)
        }
      }
    }
  }

  // MARK: Planning

  /// Throws ``ErrorCode/plan`` when it was measured on another model or with other settings, calibration data among
  /// them.
  func check(_ digest: Digest, _ options: QuantizationOptions) throws {
    guard digest == source else {
      throw BessemerError(.plan, "the sensitivity is that of a model whose tensors come to \(source), not \(digest)")
    }
    // The program that loads the package changes no number, nor does data that nothing looks at.
    let others = Dictionary(uniqueKeysWithValues: options.settings.map { ($0.key, $0.value) })
    var ignored = ["format"]
    if options.calibrationDigest == nil { ignored += ["calibration-sha256", "samples", "max-length"] }
    let own = Dictionary(settings.map { ($0.key, $0.value) }) { first, _ in first }
    guard
      let key = Set(own.keys).union(others.keys).subtracting(ignored).sorted().first(where: { own[$0] != others[$0] })
    else { return }
    throw BessemerError(
      .plan,
      "the sensitivity was measured with \(key) \(quoted(own[key] ?? "left out")), the plan has "
        + "\(quoted(others[key] ?? "left out"))")
  }

  /// What a model costs whose weights are changed, with nothing quantized; the same for all schemes but those that AWQ
  /// changes weights for.
  var preparedDivergence: Double { prepared.max() ?? 0 }

  /// What a unit adds to that.
  private func added(_ unit: Unit) -> Double {
    max(0, unit.divergence - (schemes.firstIndex(of: unit.scheme).map { prepared[$0] } ?? 0))
  }

  /// By how much a scheme costs more where it is everywhere than its units do alone.
  private func excess(_ scheme: String) -> Double {
    let sum = units.filter { $0.scheme == scheme }.reduce(0) { $0 + added($1) }
    guard let place = schemes.firstIndex(of: scheme), sum > 0 else { return 1 }
    return max(0, wholes[place] - prepared[place]) / sum
  }

  /// Gives each unit's candidates their divergences: their parts of what their schemes cost everywhere. Throws
  /// ``ErrorCode/plan`` where there is a choice and one was not measured; answers with other units that were not.
  func fill(_ units: inout [PlanUnit]) throws -> [String] {
    var missing: [String] = []
    var known: [String: Double] = [:]
    let factors = Dictionary(schemes.map { ($0, excess($0)) }) { first, _ in first }
    for unit in self.units {
      known["\(unit.scheme)\u{0}\(unit.linears[0].name)"] = added(unit) * (factors[unit.scheme] ?? 1)
    }
    for unit in units.indices {
      for candidate in units[unit].candidates.indices {
        let name = units[unit].candidates[candidate].name
        guard name != QuantizationPlan.float else {
          units[unit].candidates[candidate].divergence = 0
          continue
        }
        guard let divergence = known["\(name)\u{0}\(units[unit].layers[0].module)"] else {
          guard units[unit].candidates.count > 1 else {
            missing.append("\(quoted(units[unit].name)) in \(name) was not measured, and is not in the divergence")
            continue
          }
          throw BessemerError(
            .plan, "the sensitivity does not say what \(name) does to \(quoted(units[unit].name)); measure it too")
        }
        units[unit].candidates[candidate].divergence = divergence
      }
    }
    return missing
  }
}
