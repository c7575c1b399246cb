import IR
import TestSupport
import Tensors
import Testing

@testable import Converter

/// Recipes for pictures on GLM-Image, and what is said of steps that a model cannot have.
@Suite struct RecipeTests {
  private let scratch = Scratch()

  private func recipe(_ steps: String, version: String = "modelslim_v1") throws -> String {
    let path = scratch("recipe.yaml")
    try Scratch.put(
      path, Array("{apiversion: \(version), spec: {process: [\(steps)], save: [{type: mindie_format_saver}]}}".utf8))
    return path
  }

  private func write(_ model: String, _ steps: String, version: String = "modelslim_v1") throws -> String {
    var options = QuantizationOptions(scheme: nil)
    options.recipe = try recipe(steps, version: version)
    options.calibration = Fixtures.folder + "/quantization/calibrated/calibration.jsonl"
    options.overwrite = true
    try Quantizer(Fixtures.folder + "/" + model, to: scratch("package"), options: options).write { _, _ in }
    return scratch("package")
  }

  private func linear(_ inputs: String, _ weights: String, _ rest: String = "include: ['*']") -> String {
    "{type: linear_quant, qconfig: {act: {\(inputs)}, weight: {\(weights)}}, \(rest)}"
  }

  /// As recipes for Wan have it: all linear layers but some, in the form for MindIE. The result runs.
  @Test func quantizesGLMImage() throws {
    let steps = linear(
      "scope: per_token, dtype: int8", "scope: per_channel, dtype: int8", "include: ['*'], exclude: ['*ff.net.2*']")
    let path = try write("image/model/transformer", steps, version: "multimodal_sd_modelslim_v1")
    let text = try TextFile.text(path + "/quant_model_description_w8a8_dynamic.json")
    let types = try JSON.parse(Bytes(text.utf8))
    for block in 0..<2 {
      #expect(types["transformer_blocks.\(block).attn1.to_q.weight"]?.string == "W8A8_DYNAMIC")
      #expect(types["transformer_blocks.\(block).ff.net.2.weight"]?.string == "FLOAT")
    }
    let (own, float) = (
      try LoadedModel(path: path), try LoadedModel(path: Fixtures.folder + "/image/model/transformer")
    )
    #expect(own.graph.inputs.map(\.name) == float.graph.inputs.map(\.name))
  }

  @Test(arguments: [
    ("{type: online_quarot, include: ['*']}", "FLUX"), ("{type: fa3_quant}", "latent"),
    ("{type: fa3_quant, qconfig: {dtype: int4, scope: per_head}}", "int4 per_head"),
    ("{type: fa3_quant, qconfig: {dtype: int8, scope: per_head}, details: {}}", "details"),
    ("{type: fa3_quant, details: {fa_p: {dtype: int8, scope: per_head}}}", "fa_p"),
    ("{type: adapt_rotation, stage: 3}", "adapt_rotation"), ("{type: float_sparse, sparse_ratio: 1.5}", "share"),
    ("{type: adapt_rotation, stage: 2, online: true}", "online"),
    ("{type: autoround_quant, strategies: [{qconfig: {weight: {dtype: int8, scope: per_channel}}}]}", "autoround"),
    ("{type: flat_quant}", "flat_quant"),
  ]) func saysWhatIsMissing(_ step: String, _ word: String) throws {
    let error = #expect(throws: BessemerError.self) { _ = try write("quantization/calibrated/qwen3", step) }
    #expect(error?.code == .unsupportedFeature)
    #expect(error?.message.contains(word) == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func longBlocksAreWholeOnes() {
    for size in ["16", "0", "-32"] {
      let side = "scope: dual_scale, dtype: mxfp4, method: dualscale, ext: {dual_block_size: \(size)}"
      #expect(throws: BessemerError.self) { _ = try write("quantization/calibrated/qwen3", linear(side, side)) }
    }
  }

  /// The same bytes for any number of threads.
  @Test(arguments: ["sparse", "attention-smooth", "attention-rotated"]) func threadsDoNotMatter(_ name: String) throws {
    let folder = CalibrationTests.folder
    let source = try TextFile.text("\(folder)/\(name)/source").split(separator: "\n")[0]
    let contents = try [1, 3].map { threads in
      var options = QuantizationOptions(scheme: nil)
      options.recipe = "\(folder)/\(name)/recipe.yaml"
      options.calibration = folder + "/calibration.jsonl"
      options.threads = threads
      try Quantizer("\(folder)/\(source)", to: scratch("\(threads)"), options: options).write { _, _ in }
      return try Scratch.contents(scratch("\(threads)"))
    }
    #expect(contents[0] == contents[1])
  }
}
