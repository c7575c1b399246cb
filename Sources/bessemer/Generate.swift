import ArgumentParser
import Converter
import Runtime
import Tensors
import Tokenizers

/// Continues a text.
struct Generate: Command {
  static let configuration = configure(
    "generate", "Continue a text with a language model.",
    discussion:
      "Takes the most likely token each time; with --temperature tokens are drawn, the same for the same --seed.")

  @Argument(help: "A model's folder or a bundle.")
  var model: String

  @Option(
    name: [.customShort("n"), .long, .customLong("max-tokens")],
    help: ArgumentHelp("The most tokens to add to each.", valueName: "n"))
  var count = 64

  @Option(
    name: [.long, .customLong("temp")],
    help: ArgumentHelp("Draw tokens, more freely the higher; 0 draws none.", valueName: "t"))
  var temperature = 0.0

  @Option(help: ArgumentHelp("Draw among the k most likely tokens.", valueName: "k"))
  var topK = 0

  @Option(help: ArgumentHelp("Draw among the likeliest tokens that reach this probability together.", valueName: "p"))
  var topP = 1.0

  @Option(help: ArgumentHelp("Draw among tokens at least this part as likely as the likeliest.", valueName: "p"))
  var minP = 0.0

  @Option(help: ArgumentHelp("Divide the scores of tokens that have occurred.", valueName: "x"))
  var repetitionPenalty = 1.0

  @Option(help: ArgumentHelp("What the drawing starts from.", valueName: "n"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("End at this text; may be repeated.", valueName: "text"))
  var stop: [String] = []

  @Option(help: ArgumentHelp("End at this token; may be repeated.", valueName: "id"))
  var stopToken: [Int] = []

  @Flag(help: "Go on past the model's end token.")
  var ignoreEos = false

  @Option(
    name: .customLong("repeat"), help: ArgumentHelp("Do it n times and say how fast the fastest was.", valueName: "n"))
  var repetitions = 1

  @OptionGroup var prompts: PromptOptionGroup
  @OptionGroup var run: RunOptionGroup
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if count < 1 { throw ValidationError("-n takes a positive number") }
    if repetitions < 1 { throw ValidationError("--repeat takes a positive number") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature takes a number of at least 0")
    }
    if topK < 0 { throw ValidationError("--top-k takes a number of at least 0") }
    if !(topP > 0 && topP <= 1) { throw ValidationError("--top-p takes a number above 0 and up to 1") }
    if !(minP >= 0 && minP < 1) { throw ValidationError("--min-p takes a number from 0 up to but not including 1") }
    if !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
      throw ValidationError("--repetition-penalty takes a positive number")
    }
  }

  func execute(_ console: Console) throws {
    let opened = try run.open(model, common, lastPositionOnly: true)
    let tokenizer = try opened.tokenizer()
    let prompts = try prompts.prompts(opened, tokenizer)
    let generator = try Generator(opened.session)
    let ends = (ignoreEos ? [] : try opened.endTokens).union(stopToken)
    let streams = prompts.count == 1 && !console.isJSON
    var texts: [GeneratedText] = []
    var fastest = Generator.Statistics()
    if streams, !self.prompts.isConversation { try console.out.write(prompts[0].text) }
    for repetition in 0..<repetitions {
      texts = prompts.map { _ in GeneratedText(tokenizer, stops: stop) }
      let isFirst = repetition == 0
      _ = try generator.generate(prompts.map(\.tokens), count: count, sampling: sampling, stop: ends) {
        sequence, token in
        let (fresh, goesOn) = try texts[sequence].append(token)
        if streams, isFirst {
          try console.out.write(fresh)
          try console.out.flush()
        }
        return goesOn
      }
      for k in texts.indices {
        let rest = try texts[k].finish()
        if streams, isFirst { try console.out.write(rest) }
      }
      if isFirst { fastest = generator.statistics }
      fastest.prefill = min(fastest.prefill, generator.statistics.prefill)
      fastest.decode = min(fastest.decode, generator.statistics.decode)
    }
    let reading = repetitions > 1 ? opened.session.model.weightsReadRate() : nil
    let sequences = zip(prompts, texts).map { (prompt: $0.text, generated: $1) }
    if console.isJSON { return try writeJSON(console, sequences, fastest, reading) }
    if streams {
      try console.out.line("")
    } else {
      let hidesPrompts = self.prompts.isConversation
      for (prompt, generated) in sequences { try console.out.line((hidesPrompts ? "" : prompt) + generated.text) }
    }
    console.note(
      "\(fastest.promptTokens) tokens read in \(significant(fastest.prefill / .milliseconds(1))) ms, "
        + "\(significant(fastest.prefillRate)) a second; \(fastest.newTokens) written, "
        + "\(significant(fastest.decodeRate)) a second")
    if let reading {
      console.note(
        "the \(ByteSize(reading.byteCount).text) of weights can be read "
          + "\(significant(reading.bytesPerSecond / Double(max(reading.byteCount, 1)))) times a second where they lie")
    }
    console.noteMemory(opened.session)
  }

  private var sampling: SamplingOptions {
    var sampling = SamplingOptions()
    (sampling.temperature, sampling.topK, sampling.topP, sampling.minP) = (temperature, topK, topP, minP)
    (sampling.repetitionPenalty, sampling.seed) = (repetitionPenalty, seed)
    return sampling
  }

  private func writeJSON(
    _ console: Console, _ sequences: [(prompt: String, generated: GeneratedText)], _ statistics: Generator.Statistics,
    _ reading: (byteCount: Int, bytesPerSecond: Double)?
  ) throws {
    try console.json("generate") { json in
      json.array("sequences") { json in
        for (prompt, generated) in sequences {
          json.object { json in
            json.member("prompt", prompt)
            json.member("text", generated.text)
            json.array("tokens", generated.tokens)
          }
        }
      }
      json.member("prompt_tokens", statistics.promptTokens)
      json.member("new_tokens", statistics.newTokens)
      json.member("prefill_seconds", statistics.prefill / .seconds(1))
      json.member("decode_seconds", statistics.decode / .seconds(1))
      json.member("prefill_tokens_per_second", statistics.prefillRate)
      json.member("decode_tokens_per_second", statistics.decodeRate)
      if let reading {
        json.member("weight_bytes", reading.byteCount)
        json.member("weight_read_bytes_per_second", reading.bytesPerSecond)
      }
    }
  }
}
