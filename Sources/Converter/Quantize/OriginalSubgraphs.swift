import Quantization
import Tensors

/// Which of a model's subgraphs msModelSlim smooths.
///
/// Its code for a family of models names them for some of its processors; for all others it takes the norms whose
/// outputs linear layers read as they are. Source: `get_adapter_config_for_subgraph` of msModelSlim 26.1.
struct OriginalSubgraphs {
  enum Processor { case awq, flexible, iterative, smoothQuant }

  private let processors: Set<Processor>
  /// Patterns of the modules that are divided.
  private let sources: [String]

  private static let dense = ["*.input_layernorm", "*.post_attention_layernorm", "*.up_proj", "*.v_proj"]

  private static let byModelType = [
    "deepseek_v3": OriginalSubgraphs(
      processors: [.flexible, .iterative],
      sources: ["*.input_layernorm", "*.kv_b_proj", "*.q_a_layernorm", "*.up_proj"]),
    "glm4_moe": OriginalSubgraphs(
      processors: [.flexible, .iterative], sources: ["*.input_layernorm", "*.v_proj"]),
    "qwen2": OriginalSubgraphs(
      processors: [.awq], sources: ["*.input_layernorm", "*.post_attention_layernorm", "*.up_proj"]),
    "qwen3": OriginalSubgraphs(processors: [.awq, .flexible, .iterative, .smoothQuant], sources: dense),
    "qwen3_moe": OriginalSubgraphs(
      processors: [.flexible, .iterative], sources: ["*.input_layernorm", "*.experts.*.up_proj", "*.v_proj"]),
    // What recipes for QwQ say, whose configuration names no family of its own.
    "qwq": OriginalSubgraphs(
      processors: [.iterative], sources: ["*.input_layernorm", "*.post_attention_layernorm", "*.up_proj"]),
  ]

  /// Leaves a step the subgraphs that msModelSlim would smooth in it.
  static func limit(_ smoothing: inout QuantizationRecipe.Smoothing, modelType: String) throws {
    let processor: Processor
    switch smoothing.algorithm {
    case .awq: processor = .awq
    case .scales(is IterativeSmoothing): processor = smoothing.addsBias ? .smoothQuant : .iterative
    case .scales: processor = .flexible
    }
    if let own = byModelType[modelType], own.processors.contains(processor) {
      smoothing.sources = try own.sources.map { try NamePattern($0) }
    } else if processor != .awq {
      // There is no such rule for AWQ, which other families cannot use there.
      smoothing.kinds = smoothing.kinds.filter { $0 == .normLinear }
      smoothing.takesExperts = false
    }
  }
}
