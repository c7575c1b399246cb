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

      A second model reads the same tokens, by the tokenizer of the first. Intervals are of 95 %, by a bootstrap \
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

  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let asksQuestions = data.hasSuffix(".jsonl")
    let opened = try run.open(model, common, lastPositionOnly: asksQuestions)
    let (tokenizer, begin, stop) = (try opened.tokenizer(), try opened.beginToken, try opened.endTokens)
    let evaluation = Evaluation(opened.session, tokenizer, begin: begin, stop: stop)
    let other = try second.map { try run.open($0, common, lastPositionOnly: asksQuestions) }
    if asksQuestions {
      try ask(evaluation, other.map { Evaluation($0.session, tokenizer, begin: begin, stop: stop) }, console)
    } else if let other {
      try compare(evaluation, other.session, console)
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

  private func compare(_ evaluation: Evaluation, _ other: Session, _ console: Console) throws {
    let lines = try lines
    let progress = console.progress("eval", total: lines.count, unit: .items)
    let agreement = try evaluation.agreement(with: other, lines) { progress.update($0) }
    progress.finish()
    guard agreement.positions > 0 else { throw nothingToPredict }
    let summary = agreement.summary()
    let rows = [
      ("perplexity", "perplexity", summary.first), ("perplexity of the second", "second_perplexity", summary.second),
      ("ratio", "perplexity_ratio", summary.ratio), ("top-1 agreement", "top1_agreement", summary.topOne),
      ("KL divergence, mean", "kl_divergence", summary.divergence),
    ]
    if console.isJSON {
      return try console.json("eval") { json in
        json.member("model", model)
        json.member("second", second ?? "")
        json.member("data", data)
        json.member("tokens", agreement.positions)
        json.member("interval_method", "bootstrap over blocks of \(Agreement.blockLength) positions")
        json.member("interval_level", 0.95)
        for (_, name, estimate) in rows {
          json.object(name) { json in
            json.member("value", estimate.value)
            for (end, value) in [("low", estimate.interval?.lowerBound), ("high", estimate.interval?.upperBound)] {
              if let value { json.member(end, value) } else { json.null(end) }
            }
          }
        }
        json.array("kl_percentiles") { json in
          for (percent, value) in summary.percentiles {
            json.object { json in
              json.member("percent", percent)
              json.member("value", value)
            }
          }
        }
      }
    }
    var table = Table([("", .left), ("", .right), ("95 % interval", .left)])
    for (title, _, estimate) in rows {
      let interval = estimate.interval.map { "\(significant($0.lowerBound, 6)) to \(significant($0.upperBound, 6))" }
      table.row(title, significant(estimate.value, 6), interval ?? "")
    }
    for (percent, value) in summary.percentiles {
      let number = percent == percent.rounded() ? "\(Int(percent))" : "\(percent)"
      table.row(percent == 100 ? "  greatest" : "  \(number)th percentile", significant(value), "")
    }
    try table.write(to: console.out)
    try console.out.line("tokens       \(agreement.positions)")
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
