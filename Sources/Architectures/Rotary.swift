import IR
import Tensors

/// Rotary position embedding as config.json describes it, in the spellings of transformers 4 and 5.
struct RotaryParameters {
  let theta: Double
  /// The part of a head's dimensions that is rotated.
  let partialFactor: Double
  let scaling: Scaling
  /// What cosines and sines are multiplied with.
  let attentionFactor: Double

  /// No head has more rotated dimensions.
  static let maximumSize = 1 << 16

  /// How frequencies are stretched for contexts longer than in training.
  enum Scaling: Equatable {
    case none
    /// All frequencies divided by a factor.
    case linear(factor: Double)
    /// Low frequencies divided, high ones kept, between them a blend (Llama 3.1).
    case llama3(factor: Double, lowFactor: Double, highFactor: Double, originalPositions: Double)
    /// Dimensions that turn fewer than `slow` times in training divided, those that turn more than `fast` times kept,
    /// between them a blend (Peng et al., arXiv 2309.00071).
    case yarn(factor: Double, fast: Double, slow: Double, truncates: Bool, originalPositions: Double)
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
    var attentionFactor: Double?
    var betaFast: Double?
    var betaSlow: Double?
    var mscale: Double?
    var mscaleAllDim: Double?
    var truncate: Bool?
    var mropeSection: [Int]?
  }

  /// - Parameters:
  ///   - maximumPositions: stands for `original_max_position_embeddings` where YaRN's table has none.
  ///   - partialFactor: `partial_rotary_factor` beside the tables.
  /// - Throws: ``ErrorCode/config`` for values that cannot be, ``ErrorCode/unsupportedFeature`` for unknown scaling.
  init(
    _ c: some DecoderConfiguration, _ maximumPositions: Int, partialFactor: Double? = nil,
    defaultPartialFactor: Double = 1
  ) throws {
    let table = c.ropeParameters ?? c.ropeScaling ?? Table()
    theta = table.ropeTheta ?? c.ropeTheta ?? 10000
    self.partialFactor = table.partialRotaryFactor ?? partialFactor ?? defaultPartialFactor
    guard theta > 0, theta.isFinite else {
      throw BessemerError(.config, "rope_theta is \(theta), expected a positive number")
    }
    guard self.partialFactor > 0, self.partialFactor <= 1 else {
      throw BessemerError(.config, "partial_rotary_factor is \(self.partialFactor), expected more than 0 and at most 1")
    }
    func value(_ x: Double?, _ name: String) throws -> Double {
      guard let x, x > 0, x.isFinite else { throw BessemerError(.config, "rope scaling needs a positive \(name)") }
      return x
    }
    var attentionFactor = 1.0
    switch table.ropeType ?? table.type ?? "default" {
    case "default": scaling = .none
    case "linear": scaling = .linear(factor: try value(table.factor, "factor"))
    case "llama3":
      scaling = .llama3(
        factor: try value(table.factor, "factor"), lowFactor: try value(table.lowFreqFactor, "low_freq_factor"),
        highFactor: try value(table.highFreqFactor, "high_freq_factor"),
        originalPositions: try value(table.originalMaxPositionEmbeddings, "original_max_position_embeddings"))
    case "yarn":
      guard theta != 1 else { throw BessemerError(.config, "rope_theta is 1, which YaRN cannot scale") }
      let factor = try value(table.factor, "factor")
      scaling = .yarn(
        factor: factor, fast: try value(table.betaFast ?? 32, "beta_fast"),
        slow: try value(table.betaSlow ?? 1, "beta_slow"), truncates: table.truncate ?? true,
        originalPositions: try value(
          table.originalMaxPositionEmbeddings ?? Double(maximumPositions), "original_max_position_embeddings"))
      attentionFactor = try value(table.attentionFactor ?? table.yarnAttentionFactor(factor), "attention_factor")
    case let other: throw BessemerError(.unsupportedFeature, "rope scaling of type \(quoted(other)) is not supported")
    }
    self.attentionFactor = attentionFactor
  }

  /// The angle per position of every pair, `1 / theta^(2i/size)` with each operation rounded to float32 as frameworks
  /// do it, and scaled.
  func frequencies(headSize: Int) throws -> [Float] {
    let size = Int(Double(headSize) * partialFactor)
    guard size > 0, size % 2 == 0, size <= RotaryParameters.maximumSize else {
      throw BessemerError(
        .config,
        "a rotary size of \(size) (head size \(headSize) times \(partialFactor)) is not an even number up to "
          + "\(RotaryParameters.maximumSize)")
    }
    return (0..<size / 2).map { pair in
      let power = Float(raised(theta, Double(2 * Float(pair) / Float(size))))
      return Float(scaled(Double(1 / power), pair: pair, size: size))
    }
  }

  /// The frequency `base` of a pair as the scaling wants it.
  private func scaled(_ base: Double, pair: Int, size: Int) -> Double {
    switch scaling {
    case .none: return base
    case .linear(let factor): return base / factor
    case .llama3(let factor, let low, let high, let original):
      let wavelength = 2 * Double.pi / base
      if wavelength < original / high { return base }
      if wavelength > original / low { return base / factor }
      let blend = (original / wavelength - low) / (high - low)
      return (1 - blend) * base / factor + blend * base
    case .yarn(let factor, let fast, let slow, let truncates, let original):
      // The pair that turns so many times within the original positions.
      func pairTurning(_ turns: Double) -> Double {
        Double(size) * naturalLogarithm(original / (turns * 2 * Double.pi)) / (2 * naturalLogarithm(theta))
      }
      let (first, last) = (pairTurning(fast), pairTurning(slow))
      let low = max(truncates ? first.rounded(.down) : first, 0)
      var high = min(truncates ? last.rounded(.up) : last, Double(size - 1))
      if high == low { high += 0.001 }
      let divided = min(max((Double(pair) - low) / (high - low), 0), 1)
      return base / factor * divided + base * (1 - divided)
    }
  }
}

extension RotaryParameters.Table {
  /// How much longer contexts sharpen attention, as YaRN has it: 1 unless frequencies are stretched.
  static func yarnScale(_ factor: Double, _ weight: Double) -> Double {
    factor <= 1 ? 1 : 0.1 * weight * naturalLogarithm(factor) + 1
  }

  /// What cosines and sines are multiplied with when the table does not say.
  fileprivate func yarnAttentionFactor(_ factor: Double) -> Double {
    guard let mscale, let mscaleAllDim, mscale != 0, mscaleAllDim != 0 else {
      return RotaryParameters.Table.yarnScale(factor, 1)
    }
    return RotaryParameters.Table.yarnScale(factor, mscale) / RotaryParameters.Table.yarnScale(factor, mscaleAllDim)
  }
}
