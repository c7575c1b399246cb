import Glibc
import Tensors

/// What a command talks through: data on standard output, words and progress on standard error.
final class Console {
  let options: CommonOptions
  let out = StandardOutput()
  private let errorIsTerminal = isatty(STDERR_FILENO) == 1

  init(_ options: CommonOptions) { self.options = options }

  var isJSON: Bool { options.json }
  var isVerbose: Bool { options.verbose }

  /// Whether words on standard error may be coloured. `NO_COLOR` with any content says no.
  var usesColor: Bool {
    switch options.color {
    case .always: return true
    case .never: return false
    case .auto:
      let forbidden = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
      return errorIsTerminal && !forbidden && getenv("TERM").map { String(cString: $0) } != "dumb"
    }
  }

  /// Says a line on standard error, unless quiet.
  func note(_ text: String) {
    if !options.quiet { say(text) }
  }

  /// Says a line on standard error when verbose.
  func detail(_ text: @autoclosure () -> String) {
    if options.verbose { say(text()) }
  }

  /// Writes one JSON object with its schema, `bessemer.NAME/1`, to standard output.
  func json(_ schema: String, _ body: (inout JSONWriter) throws -> Void) throws {
    var json = JSONWriter()
    try json.object { json in
      json.member("schema", "bessemer.\(schema)/1")
      try body(&json)
    }
    try out.write(json.utf8 + [UInt8(ascii: "\n")])
  }

  /// A display of work, whose amount may be known later; see ``Progress``.
  func progress(_ title: String, total: Int = 0, unit: Progress.Unit) -> Progress {
    var mode = options.progress
    if options.quiet { mode = .off }
    return Progress(title, total: total, unit: unit, mode: mode, isTerminal: errorIsTerminal)
  }

  /// The line of an error, and its details when verbose; with `--json` also an object on standard output.
  func report(_ error: BessemerError) {
    let mark = usesColor ? "\u{1B}[1;31merror:\u{1B}[0m" : "error:"
    say("\(mark) \(error.description)")
    if options.verbose { for detail in error.details { say("  " + escaped(detail, limit: 1000)) } }
    guard options.json else { return }
    out.discard()
    try? json("error") { json in
      json.member("code", error.code.rawValue)
      json.member("message", error.message)
      if let file = error.file { json.member("file", file) } else { json.null("file") }
      json.array("details") { json in for detail in error.details { json.value(detail) } }
    }
    try? out.flush()
  }

  private func say(_ text: String) { writeAll(Array((text + "\n").utf8), to: STDERR_FILENO) }
}
