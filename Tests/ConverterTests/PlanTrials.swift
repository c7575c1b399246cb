import TestSupport

@testable import Converter

/// What tests of plans share: options of two threads, and plans of the small trained model.
protocol PlanTrials {}

extension PlanTrials {
  static var model: String { Fixtures.folder + "/models/tiny-glm4" }

  func options(_ change: (inout QuantizationOptions) -> Void = { _ in }) -> QuantizationOptions {
    var options = QuantizationOptions(scheme: nil)
    options.threads = 2
    change(&options)
    return options
  }

  func plan(
    _ target: QuantizationPlanner.Target?, _ candidates: [String] = [], _ options: QuantizationOptions? = nil,
    sensitivity: Sensitivity? = nil
  ) throws -> QuantizationPlan {
    try QuantizationPlanner(
      Self.model, options ?? self.options(), target: target, candidates: candidates, sensitivity: sensitivity
    ).plan
  }
}
