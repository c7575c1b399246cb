import ArgumentParser
import Converter
import Runtime
import Tensors
import Validation

/// Measures how well a language model does.
struct Eval: Command {
  static let configuration = configure(
    "eval", "Measure perplexity on a text, or exact answers to questions; or a second model against the first.",
    discussion: """
      A .jsonl file holds questions, one object a line with prompt, answer and optionally kind; answers are greedy. \
      Any other file is text, one sequence a line, each begun with the model's beginning token.

      A second model reads the same tokens, by the tokenizer of the first, and is held against it; a quantized first \
      is held against a second that is not. Intervals are of 95 %, by a bootstrap \
      over blocks of up to \(Agreement.blockLength) neighbouring positions of a line; they are the same each time.
      """,
    aliases: ["perplexity"])

  @Argument(help: "A model's folder or a bundle.")
  var model: String

  @Argument(help: "A model to hold against the first.")
  var second: String?

  @Option(name: [.short, .long], help: ArgumentHelp("A text file, or a .jsonl file of questions.", valueName: "file"))
  var data: String

  @Option(help: ArgumentHelp("The most tokens of an answer.", valueName: "n"))
  var maxTokens = 40

  @Option(help: ArgumentHelp("Use only the first n lines.", valueName: "n"))
  var limit: Int?

  @Option(help: ArgumentHelp("With two models and a text, a .jsonl file of questions besides.", valueName: "file"))
  var questions: String?

  @Option(
    help: ArgumentHelp("With two models and a text, write the table and a chart to a web page.", valueName: "file"))
  var html: String?

  @Flag(help: "With two models and a text, print the table for a model card.")
  var markdown = false

  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if second == nil || data.hasSuffix(".jsonl"), questions != nil || html != nil || markdown {
      throw ValidationError("--questions, --html and --markdown go with two models and a text")
    }
  }

  func execute(_ console: Console) throws {
    let asksQuestions = data.hasSuffix(".jsonl")
    if second != nil, !asksQuestions { return try compare(console) }
    let models = try run.open([model] + (second.map { [$0] } ?? []), common, lastPositionOnly: asksQuestions)
    let opened = models[0]
    let (tokenizer, begin, stop) = (try opened.tokenizer(), try opened.beginToken, try opened.endTokens)
    let evaluation = Evaluation(opened.session, tokenizer, begin: begin, stop: stop)
    if asksQuestions {
      try ask(
        evaluation, models.dropFirst().first.map { Evaluation($0.session, tokenizer, begin: begin, stop: stop) },
        console)
    } else {
      try read(evaluation, console)
    }
    console.noteMemory(opened.session)
  }

  // MARK: Texts

  private var lines: [String] { get throws { Array(try TextFile.lines(data).prefix(limit ?? .max)) } }

  private func read(_ evaluation: Evaluation, _ console: Console) throws {
    let lines = try lines
    let progress = console.progress("eval", total: lines.count, unit: .items)
    let result = try evaluation.perplexity(lines) { progress.update($0) }
    progress.finish()
    guard result.tokens > 0 else { throw nothingToPredict }
    if console.isJSON {
      try console.json("eval") { json in
        json.member("model", model)
        json.member("data", data)
        json.member("perplexity", result.value)
        json.member("tokens", result.tokens)
      }
    } else {
      try console.out.line("perplexity   \(significant(result.value, 6))")
      try console.out.line("tokens       \(result.tokens)")
    }
  }

  private var nothingToPredict: BessemerError {
    BessemerError(.modelInput, "the text has no tokens to predict", file: data)
  }

  /// The second model against the first; or if only the first is quantized, the first against the second.
  private func compare(_ console: Console) throws {
    guard let second else { return }
    let opened = try run.open([model, second], common, showsLayers: true)
    let isSource = opened[0].loaded.isQuantized && !opened[1].loaded.isQuantized
    let (source, other) = isSource ? (opened[1], opened[0]) : (opened[0], opened[1])
    let lines = try lines
    let (tokenizer, begin, stop) = (try opened[0].tokenizer(), try opened[0].beginToken, try opened[0].endTokens)
    let evaluations = [source, other].map { Evaluation($0.session, tokenizer, begin: begin, stop: stop) }
    let questions = try questions.map { path in
      Array(try inFile(path) { try Evaluation.questions(TextFile.text(path)) }.prefix(limit ?? .max))
    }
    let progress = console.progress("eval", total: lines.count + 2 * (questions?.count ?? 0), unit: .items)
    let layers = source.layers.count == other.layers.count ? source.layers : []
    let agreement = try evaluations[0].agreement(with: other.session, lines, layers: layers) { progress.update($0) }
    guard agreement.positions > 0 else { throw nothingToPredict }
    let answers = try questions.map { questions in
      let results = try evaluations.enumerated().map { k, evaluation in
        try evaluation.exactMatch(questions, limit: maxTokens) {
          progress.update(lines.count + k * questions.count + $0)
        }
      }
      return EvalReport.Answers(source: results[0], other: results[1])
    }
    progress.finish()
    let titles = isSource ? ["source", "quantized"] : ["first", "second"]
    let sides = zip([source, other], titles).map {
      EvalReport.Side(title: $1, path: $0.loaded.path, size: $0.loaded.size)
    }
    let report = EvalReport(source: sides[0], other: sides[1], data: data, agreement: agreement, answers: answers)
    console.noteMemory(other.session)
    if let html { try EvalPage(report: report).write(to: html, overwrite: common.overwrite) }
    if console.isJSON {
      try report.writeJSON(console, order: (model, second))
    } else if markdown {
      try report.writeMarkdown(console)
    } else {
      try report.writeText(console)
    }
  }

  // MARK: Questions

  private func ask(_ first: Evaluation, _ second: Evaluation?, _ console: Console) throws {
    let questions = Array(try inFile(data) { try Evaluation.questions(TextFile.text(data)) }.prefix(limit ?? .max))
    guard !questions.isEmpty else { throw BessemerError(.modelInput, "there are no questions", file: data) }
    let evaluations = [first, second].compactMap { $0 }
    let progress = console.progress("eval", total: questions.count * evaluations.count, unit: .items)
    let results = try evaluations.enumerated().map { k, evaluation in
      try evaluation.exactMatch(questions, limit: maxTokens) { progress.update(k * questions.count + $0) }
    }
    progress.finish()
    let same = zip(results[0].answers, results[results.count - 1].answers).count { $0 == $1 }
    if console.isJSON {
      return try console.json("eval") { json in
        json.member("model", model)
        json.member("data", data)
        json.member("questions", questions.count)
        func write(_ result: Evaluation.ExactMatch, _ json: inout JSONWriter) {
          json.member("exact_match", result.value)
          json.object("kinds") { json in for (kind, value) in result.kinds { json.member(kind, value) } }
        }
        write(results[0], &json)
        guard second != nil else { return }
        json.object("second") { json in
          json.member("model", self.second ?? "")
          write(results[1], &json)
        }
        json.member("same_answers", same)
      }
    }
    for (k, result) in results.enumerated() {
      try console.out.line(
        "exact match\(k == 0 ? "" : " of the second")  \(significant(result.value, 4)) of "
          + "\(counted(questions.count, "question"))")
      var table = Table([("", .left), ("", .right), ("", .left)])
      for (kind, value) in result.kinds {
        table.row("  " + escaped(kind), significant(value, 4), "of \(result.asked[kind] ?? 0)")
      }
      try table.write(to: console.out)
    }
    if second != nil { try console.out.line("same answers  \(same) of \(counted(questions.count, "question"))") }
  }
}
