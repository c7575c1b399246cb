internal import Glibc
public import Tensors

/// The noise of each step from pure noise to a picture, when a model says in which direction the picture lies.
///
/// Source: `FlowMatchEulerDiscreteScheduler` of diffusers; Esser et al., arXiv 2403.03206.
public struct FlowMatchSchedule: Sendable {
  /// What the model is told at each step: the time of training, before it is shifted.
  public let timesteps: [Float]
  /// The part that is noise before each step, and 0 after the last.
  public let sigmas: [Float]

  /// How a scheduler_config.json shapes schedules.
  public struct Configuration: Sendable {
    /// How times are moved towards noise, the more the larger the picture.
    public enum Shift: String, Sendable {
      case linear, exponential
    }

    public var trainingSteps = 1000
    /// Of a shift that is the same for all sizes.
    public var shift = 1.0
    /// Nil for a shift that does not depend on the size.
    public var dynamicShift: Shift?
    public var baseShift = 0.5
    public var maximumShift = 1.15
    /// Patches of the picture whose shift is `baseShift` and `maximumShift` together.
    public var baseLength = 256
    /// The least noise before the last step.
    public var terminal: Double?

    /// Reads a scheduler_config.json.
    ///
    /// Throws ``ErrorCode/config`` for values that cannot be and ``ErrorCode/unsupportedFeature`` for other schedules.
    public init(json: JSON) throws {
      if let name = try json.optional("_class_name")?.asString(), name != "FlowMatchEulerDiscreteScheduler" {
        throw BessemerError(
          .unsupportedFeature, "the scheduler is \(quoted(name)), expected FlowMatchEulerDiscreteScheduler")
      }
      for key in [
        "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas", "stochastic_sampling",
      ] where try json.optional(key)?.asBool() == true {
        throw BessemerError(.unsupportedFeature, "\(key) is not supported")
      }
      func number(_ key: String, _ standard: Double) throws -> Double {
        let value = try json.optional(key)?.asDouble() ?? standard
        guard value > 0, value.isFinite else { throw BessemerError(.config, "\(key) is \(value), expected above 0") }
        return value
      }
      trainingSteps = try json.optional("num_train_timesteps")?.asInt(in: 1...1 << 20) ?? 1000
      shift = try number("shift", 1)
      (baseShift, maximumShift) = (try number("base_shift", 0.5), try number("max_shift", 1.15))
      baseLength = try json.optional("base_image_seq_len")?.asInt(in: 1...1 << 30) ?? 256
      if try json.optional("use_dynamic_shifting")?.asBool() ?? false {
        let text = try json.optional("time_shift_type")?.asString() ?? "exponential"
        guard let kind = Shift(rawValue: text) else {
          throw BessemerError(.config, "time_shift_type \(quoted(text)) is not known")
        }
        dynamicShift = kind
      }
      if let value = try json.optional("shift_terminal")?.asDouble() {
        guard value > 0, value < 1 else { throw BessemerError(.config, "shift_terminal is \(value), expected 0 to 1") }
        terminal = value
      }
    }

    /// The shift for a picture of this many patches.
    func shift(patches: Int) -> Double {
      (Double(patches) / Double(baseLength)).squareRoot() * maximumShift + baseShift
    }
  }

  /// The most steps.
  public static let maximumCount = 10_000

  /// - Parameter patches: of the picture, by which larger ones get more steps at much noise.
  /// - Throws: ``ErrorCode/usage`` when there are no steps, or too many.
  public init(_ configuration: Configuration, steps: Int, patches: Int) throws {
    guard (1...FlowMatchSchedule.maximumCount).contains(steps) else {
      throw BessemerError(.usage, "\(steps) steps, expected 1 to \(FlowMatchSchedule.maximumCount)")
    }
    let first = Double(configuration.trainingSteps)
    let stride = (1 - first) / Double(steps)
    // Whole times, cut; from here on in float32, as the frameworks have them.
    timesteps = (0..<steps).map { Float((Double($0) * stride + first).rounded(.towardZero)) }
    var sigmas = timesteps.map { $0 / Float(configuration.trainingSteps) }
    switch configuration.dynamicShift {
    case nil:
      let shift = Float(configuration.shift)
      sigmas = sigmas.map { shift * $0 / (1 + (shift - 1) * $0) }
    case .linear:
      let shift = Float(configuration.shift(patches: patches))
      sigmas = sigmas.map { shift / (shift + (1 / $0 - 1)) }
    case .exponential:
      let shift = Float(exp(configuration.shift(patches: patches)))
      sigmas = sigmas.map { shift / (shift + (1 / $0 - 1)) }
    }
    if let terminal = configuration.terminal, let last = sigmas.last, last < 1 {
      let scale = (1 - last) / (1 - Float(terminal))
      sigmas = sigmas.map { 1 - (1 - $0) / scale }
    }
    self.sigmas = sigmas + [0]
  }

  /// The latents after step `index`, at which the model gave `direction`.
  public func step(_ latents: Tensor, _ direction: Tensor, at index: Int) -> Tensor {
    let length = sigmas[index + 1] - sigmas[index]
    return Tensor(zip(latents.floats, direction.floats).map { $0 + length * $1 }, shape: latents.shape)
  }
}
