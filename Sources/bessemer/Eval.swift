import ArgumentParser
import Converter
import Runtime
import Tensors
import Validation

/// Measures how well a language model does.
struct Eval: Command {
  static let configuration = configure(
    "eval", "Measure perplexity on a text, or exact answers to questions.",
    discussion:
      "A .jsonl file holds questions, one object a line with prompt, answer and optionally kind; answers are greedy. "
      + "Any other file is text, one sequence a line, each begun with the model's beginning token.",
    aliases: ["perplexity"])

  @Argument(help: "A model's folder or a bundle.")
  var model: String

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
    let evaluation = Evaluation(
      opened.session, try opened.tokenizer(), begin: try opened.beginToken, stop: try opened.endTokens)
    if asksQuestions {
      try ask(evaluation, console)
    } else {
      try read(evaluation, console)
    }
    console.noteMemory(opened.session)
  }

  private func read(_ evaluation: Evaluation, _ console: Console) throws {
    let lines = Array(try TextFile.lines(data).prefix(limit ?? .max))
    let progress = console.progress("eval", total: lines.count, unit: .items)
    let result = try evaluation.perplexity(lines) { progress.update($0) }
    progress.finish()
    guard result.tokens > 0 else { throw BessemerError(.modelInput, "the text has no tokens to predict", file: data) }
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

  private func ask(_ evaluation: Evaluation, _ console: Console) throws {
    let questions = Array(try inFile(data) { try Evaluation.questions(TextFile.text(data)) }.prefix(limit ?? .max))
    guard !questions.isEmpty else { throw BessemerError(.modelInput, "there are no questions", file: data) }
    let progress = console.progress("eval", total: questions.count, unit: .items)
    let result = try evaluation.exactMatch(questions, limit: maxTokens) { progress.update($0) }
    progress.finish()
    if console.isJSON {
      try console.json("eval") { json in
        json.member("model", model)
        json.member("data", data)
        json.member("exact_match", result.value)
        json.member("questions", questions.count)
        json.object("kinds") { json in for (kind, value) in result.kinds { json.member(kind, value) } }
      }
      return
    }
    try console.out.line("exact match  \(significant(result.value, 4)) of \(questions.count) questions")
    var table = Table([("", .left), ("", .right), ("", .left)])
    for (kind, value) in result.kinds {
      table.row("  " + escaped(kind), significant(value, 4), "of \(result.asked[kind] ?? 0)")
    }
    try table.write(to: console.out)
  }
}
