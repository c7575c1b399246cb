import ArgumentParser
import Converter
import IR
import Runtime
import Tensors
import Tokenizers
import Validation

/// Holds two models against each other on the same inputs.
struct Compare: Command {
  static let configuration = configure(
    "compare", "Run two models on the same inputs and hold their outputs against each other.",
    discussion:
      "Thresholds follow from the least precise type that takes part: float32 1e-4 of the largest value, float16 1e-2, "
      + "bfloat16 8e-2. Exit code 1 when the outputs part.")

  @Argument(help: "The model that is right: a folder or a bundle.")
  var reference: String

  @Argument(help: "The model to judge: a folder or a bundle.")
  var candidate: String

  @Option(
    name: [.short, .long], help: ArgumentHelp("An input, NAME=FILE.npy; may be repeated.", valueName: "name=file"))
  var input: [String] = []

  @Option(
    name: [.short, .long], help: ArgumentHelp("A text to run, through the reference's tokenizer.", valueName: "text"))
  var text: String?

  @Option(help: ArgumentHelp("What made-up inputs start from, when none are given.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Another threshold for the largest relative error.", valueName: "x"))
  var rtol: Double?

  @Option(help: ArgumentHelp("Another threshold for the cosine.", valueName: "x"))
  var cosine: Double?

  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if text != nil, !input.isEmpty { throw ValidationError("--text and --input exclude each other") }
  }

  func execute(_ console: Console) throws {
    let models = try run.open([reference, candidate], common)
    let (left, right) = (models[0], models[1])
    let inputs = try inputs(left)
    let expected = try left.session.run(inputs)
    let given = inputs.filter { right.session.model.graph.input(named: $0.key) != nil }
    let actual = try right.session.run(given)
    var thresholds = Thresholds(for: left.loaded.precision(against: right.loaded))
    if run.computing.compute.flatMap({ DType(spelling: $0) }) == .bfloat16 { thresholds = Thresholds(for: .bfloat16) }
    if let rtol { thresholds.relativeError = rtol }
    if let cosine { thresholds.cosine = cosine }
    let names = left.session.model.graph.outputs.map(\.name)
    let missing = names.filter { actual[$0] == nil }
    guard missing.isEmpty else {
      throw BessemerError(
        .comparison, "the candidate has no output \(missing.map(quoted).joined(separator: ", "))", file: candidate)
    }
    let results = try names.map {
      try OutputComparison($0, reference: expected[$0]!, candidate: actual[$0]!, thresholds: thresholds)
    }
    try print(results, thresholds, console)
    let failed = results.filter { !$0.passes }
    guard failed.isEmpty else {
      let list = failed.map {
        "\($0.name) by \(significant($0.largestRelativeError)) of its largest value, "
          + "cosine \(significant($0.cosine, 6))"
      }
      try console.out.flush()
      let error = BessemerError(.comparison, "the models part: " + list.joined(separator: "; "), file: candidate)
      // The object on standard output already has the verdict.
      guard console.isJSON else { throw error }
      throw ExitCode(error.code.exitStatus.rawValue)
    }
  }

  private func inputs(_ model: RunnableModel) throws -> [String: Tensor] {
    let graph = model.session.model.graph
    if !input.isEmpty { return try ModelInputs.read(input, for: graph) }
    if let text {
      let ids = try model.tokenizer().encode(text)
      guard !ids.isEmpty else { throw BessemerError(.modelInput, "the text has no tokens") }
      return ["input_ids": Tensor(ids.map { Int64($0) }, shape: [1, ids.count])]
    }
    guard let vocabulary = model.vocabularySize else {
      throw BessemerError(.usage, "the model's vocabulary is not known; give --input")
    }
    let limit = model.loaded.config["max_position_embeddings"]?.int ?? 32
    return ModelInputs.sample(batch: 2, length: min(32, limit), vocabulary: vocabulary, seed: seed)
  }

  private func print(_ results: [OutputComparison], _ thresholds: Thresholds, _ console: Console) throws {
    if console.isJSON {
      return try console.json("compare") { json in
        json.member("reference", reference)
        json.member("candidate", candidate)
        json.member("passes", results.allSatisfy(\.passes))
        json.array("outputs") { json in for result in results { json.object { result.write(to: &$0) } } }
      }
    }
    var table = Table([
      ("output", .left), ("shape", .left), ("cosine", .right), ("largest error", .right), ("relative", .right),
      ("top-1", .right), ("", .left),
    ])
    for result in results {
      table.row(
        escaped(result.name), "[\(result.shape.map { String($0) }.joined(separator: ","))]",
        significant(result.cosine, 8),
        significant(result.largestError), significant(result.largestRelativeError),
        result.topOneAgreement.map { significant($0, 4) } ?? "-", result.passes ? "same" : "DIFFERENT")
    }
    try table.write(to: console.out)
    console.note(
      "thresholds  relative error \(significant(thresholds.relativeError)), cosine \(significant(thresholds.cosine, 6))"
    )
  }
}

extension OutputComparison {
  fileprivate func write(to json: inout JSONWriter) {
    json.member("name", name)
    json.array("shape", shape)
    json.member("cosine", cosine)
    json.member("largest_error", largestError)
    json.member("largest_relative_error", largestRelativeError)
    if let topOneAgreement { json.member("top_1_agreement", topOneAgreement) }
    json.member("non_finite_mismatches", nonFiniteMismatches)
    json.member("passes", passes)
  }
}
