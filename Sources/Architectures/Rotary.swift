import IR
import Tensors

/// Rotary position embedding as config.json describes it, in the spellings of transformers 4 and 5.
struct RotaryParameters {
  let theta: Double
  /// The part of a head's dimensions that is rotated.
  let partialFactor: Double
  let scaling: Scaling
  /// What cosines and sines are multiplied with.
  var attentionFactor: Double { 1 }

  /// How frequencies are stretched for contexts longer than in training.
  enum Scaling: Equatable {
    case none
    /// All frequencies divided by a factor.
    case linear(factor: Double)
    /// Low frequencies divided, high ones kept, between them a blend (Llama 3.1).
    case llama3(factor: Double, lowFactor: Double, highFactor: Double, originalPositions: Double)
  }

  /// The members of `rope_parameters` (transformers 5) or `rope_scaling` (4).
  struct Table: Decodable {
    var ropeType: String?
    var type: String?
    var ropeTheta: Double?
    var partialRotaryFactor: Double?
    var factor: Double?
    var lowFreqFactor: Double?
    var highFreqFactor: Double?
    var originalMaxPositionEmbeddings: Double?
  }

  /// - Parameters:
  ///   - theta: `rope_theta` beside the tables, 10000 when nothing says otherwise.
  ///   - partialFactor: `partial_rotary_factor` beside the tables.
  init(_ tables: [Table?], theta: Double?, partialFactor: Double?, defaultPartialFactor: Double = 1) throws {
    let table = tables.lazy.compactMap { $0 }.first ?? Table()
    self.theta = table.ropeTheta ?? theta ?? 10000
    self.partialFactor = table.partialRotaryFactor ?? partialFactor ?? defaultPartialFactor
    guard self.theta > 0, self.theta.isFinite else {
      throw BessemerError(.config, "rope_theta is \(self.theta), expected a positive number")
    }
    guard self.partialFactor > 0, self.partialFactor <= 1 else {
      throw BessemerError(.config, "partial_rotary_factor is \(self.partialFactor), expected more than 0 and at most 1")
    }
    func value(_ x: Double?, _ name: String) throws -> Double {
      guard let x, x > 0, x.isFinite else { throw BessemerError(.config, "rope scaling needs a positive \(name)") }
      return x
    }
    switch table.ropeType ?? table.type ?? "default" {
    case "default": scaling = .none
    case "linear": scaling = .linear(factor: try value(table.factor, "factor"))
    case "llama3":
      scaling = .llama3(
        factor: try value(table.factor, "factor"), lowFactor: try value(table.lowFreqFactor, "low_freq_factor"),
        highFactor: try value(table.highFreqFactor, "high_freq_factor"),
        originalPositions: try value(table.originalMaxPositionEmbeddings, "original_max_position_embeddings"))
    case let other: throw BessemerError(.unsupportedFeature, "rope scaling of type \(quoted(other)) is not supported")
    }
  }

  /// The angle per position of every pair, `theta^(-2i/size)` and scaled, rounded to float32.
  func frequencies(headSize: Int) throws -> [Float] {
    let size = Int(Double(headSize) * partialFactor)
    guard size > 0, size % 2 == 0 else {
      throw BessemerError(
        .config, "a rotary size of \(size) (head size \(headSize) times \(partialFactor)) is not even")
    }
    return stride(from: 0, to: size, by: 2).map { i in
      let base = 1 / raised(theta, Double(i) / Double(size))
      switch scaling {
      case .none: return Float(base)
      case .linear(let factor): return Float(base / factor)
      case .llama3(let factor, let low, let high, let original):
        let wavelength = 2 * Double.pi / base
        if wavelength < original / high { return Float(base) }
        if wavelength > original / low { return Float(base / factor) }
        let blend = (original / wavelength - low) / (high - low)
        return Float((1 - blend) * base / factor + blend * base)
      }
    }
  }
}
