import Architectures
import IR
import TestSupport
import Tensors
import Testing

/// A change to the configuration of a tiny model and the code of the error that must follow; nil when none may.
struct ConfigurationCase: CustomTestStringConvertible, Sendable {
  let model: TinyModel
  let changes: [String: String?]
  let code: ErrorCode?

  var testDescription: String { "\(model) \(changes.map { "\($0.key)=\($0.value ?? "absent")" }.sorted())" }

  init(_ model: TinyModel, _ changes: [String: String?], _ code: ErrorCode?) {
    self.model = model
    self.changes = changes
    self.code = code
  }

  init(_ changes: [String: String?], _ code: ErrorCode?) { self.init(.llama, changes, code) }

  private static let sizes = [
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings",
  ]

  private static var badSizes: [ConfigurationCase] {
    let values = ["0", "-1", "1099511627776", "9223372036854775807", "9223372036854775808", "1e30", "64.5", "\"64\"", "[64]", "{}", "true"]
    return TinyModel.allCases.flatMap { model in
      (sizes + (model == .bert ? ["type_vocab_size"] : ["num_key_value_heads", "head_dim"])).flatMap { name in
        values.map { ConfigurationCase(model, [name: $0], .config) }
      }
    }
  }

  private static var absent: [ConfigurationCase] {
    TinyModel.allCases.flatMap { model in
      (sizes.dropLast() + ["model_type"]).flatMap { name in
        [ConfigurationCase(model, [name: nil], .config), ConfigurationCase(model, [name: "null"], .config)]
      }
    }
  }

  private static let others: [ConfigurationCase] = [
    // What may be.
    ConfigurationCase(["foo": "{\"bar\": [1, 2]}", "auto_map": "{\"AutoModel\": \"evil.py--os.system\"}"], nil),
    ConfigurationCase(["eos_token_id": "[2, 3]", "torch_dtype": "\"float32\""], nil),
    ConfigurationCase(["rope_theta": "500000.0", "rope_scaling": "null", "rope_parameters": "null"], nil),
    ConfigurationCase(["rope_scaling": "{\"type\": \"linear\", \"factor\": 2}"], nil),
    ConfigurationCase(["rms_norm_eps": nil, "max_position_embeddings": nil], nil),
    ConfigurationCase(.glm4, ["partial_rotary_factor": "1.0"], nil),
    ConfigurationCase(.bert, ["hidden_act": "\"gelu_new\"", "position_embedding_type": "\"absolute\""], nil),
    // Numbers that contradict one another.
    ConfigurationCase(["num_attention_heads": "7", "head_dim": nil], .config),
    ConfigurationCase(["num_key_value_heads": "3"], .config), ConfigurationCase(["num_key_value_heads": "8"], .config),
    ConfigurationCase(.bert, ["num_attention_heads": "5"], .config), ConfigurationCase(["head_dim": "7"], .config),
    ConfigurationCase(.glm4, ["head_dim": "2"], .config),
    // Sizes that the weights contradict.
    ConfigurationCase(["hidden_size": "32"], .weights), ConfigurationCase(["vocab_size": "12"], .weights),
    ConfigurationCase(["num_hidden_layers": "3"], .weights), ConfigurationCase(["num_hidden_layers": "1"], .weights),
    ConfigurationCase(["num_hidden_layers": "1000000000"], .weights), ConfigurationCase(["intermediate_size": "25"], .weights),
    ConfigurationCase(["head_dim": "16"], .weights), ConfigurationCase(["attention_bias": "true"], .weights),
    ConfigurationCase(.glm4, ["attention_bias": "false"], .weights), ConfigurationCase(.bert, ["type_vocab_size": "3"], .weights),
    // Other members.
    ConfigurationCase(["model_type": "\"evil_model\""], .unsupportedModel),
    ConfigurationCase(["model_type": "\"../../evil\""], .unsupportedModel), ConfigurationCase(["model_type": "7"], .config),
    ConfigurationCase(["hidden_act": "\"eval(open('/etc/passwd'))\""], .config), ConfigurationCase(["hidden_act": "7"], .config),
    ConfigurationCase(.bert, ["hidden_act": "\"gelu_medium\""], .config),
    ConfigurationCase(.bert, ["position_embedding_type": "\"relative_key\""], .unsupportedFeature),
    ConfigurationCase(["quantization_config": "{\"quant_method\": \"evil\", \"bits\": -3}"], .unsupportedFeature),
    ConfigurationCase(["rope_theta": "0"], .config), ConfigurationCase(["rope_theta": "-1"], .config),
    ConfigurationCase(["rope_theta": "\"10000\""], .config), ConfigurationCase(["rms_norm_eps": "-1"], .config),
    ConfigurationCase(["rms_norm_eps": "1"], .config), ConfigurationCase(.bert, ["layer_norm_eps": "-1e-5"], .config),
    ConfigurationCase(["rope_scaling": "{\"type\": \"evil\", \"factor\": 2}"], .unsupportedFeature),
    ConfigurationCase(["rope_scaling": "{\"type\": \"linear\"}"], .config),
    ConfigurationCase(["rope_scaling": "{\"type\": \"linear\", \"factor\": \"2\"}"], .config),
    ConfigurationCase(["rope_scaling": "{\"type\": \"linear\", \"factor\": 0}"], .config),
    ConfigurationCase(["rope_parameters": "{\"rope_type\": \"llama3\", \"factor\": 8}"], .config),
    ConfigurationCase(["rope_parameters": "[]"], .config),
    ConfigurationCase(.glm4, ["partial_rotary_factor": "0"], .config), ConfigurationCase(.glm4, ["partial_rotary_factor": "1.5"], .config),
    ConfigurationCase(.glm4, ["partial_rotary_factor": "0.4"], .config), ConfigurationCase(["tie_word_embeddings": "1"], .config),
    ConfigurationCase(["attention_bias": "\"yes\""], .config),
  ]

  static let all = badSizes + absent + others
}

@Suite struct ConfigurationTests {
  @Test(arguments: ConfigurationCase.all)
  func hasTheRightCode(_ item: ConfigurationCase) throws {
    let weights = try item.model.weights()
    do {
      let graph = try buildGraph(config: item.model.config(item.changes), weights: weights)
      try graph.verify()
      #expect(item.code == nil)
    } catch let error as BessemerError {
      #expect(error.code == item.code, "\(error.message)")
      #expect(error.message.utf8.count < 3000 && error.message.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F })
      #expect(error.details.count <= 2100)
    }
  }

  @Test func controlCharactersAreEscaped() throws {
    let config = try TinyModel.llama.config(["model_type": "\"a\\u001b]0;x\\u0007\\nb\""])
    #expect {
      try buildGraph(config: config, weights: TensorStore())
    } throws: { error in
      guard let error = error as? BessemerError else { return false }
      return error.code == .unsupportedModel && error.message.utf8.allSatisfy { $0 >= 0x20 }
    }
  }

  @Test func familiesAreSortedAndDistinct() {
    let types = architectures.flatMap { $0.modelTypes }
    #expect(Set(types).count == types.count)
    let names = architectures.map { String(describing: $0) }
    #expect(names == names.sorted())
  }
}
