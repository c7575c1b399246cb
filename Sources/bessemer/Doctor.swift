import ArgumentParser
import Converter
import Tensors

/// Looks at the machine and takes a tiny model the whole way.
struct Doctor: Command {
  static let configuration = configure("doctor", "Show what the machine has and check that everything works.")

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    let problem: BessemerError?
    do {
      try SelfTest.run()
      problem = nil
    } catch let error as BessemerError { problem = error }
    if console.isJSON, problem == nil { return try console.json("doctor") { writeJSON(&$0) } }
    var table = Table([("", .left), ("", .left)])
    for (name, value) in findings { table.row(name, value) }
    table.row("self-test", problem == nil ? "passed: text, passes, interpreter, runtime" : "FAILED")
    if !console.isJSON { try table.write(to: console.out) }
    if let problem {
      throw BessemerError(.comparison, "the self-test failed: \(problem.message)", details: problem.details)
    }
  }

  private var findings: [(String, String)] {
    let free = Machine.freeByteCount(at: ".").map { ByteSize($0).text } ?? "unknown"
    return [
      ("bessemer", version),
      ("processors", "\(Machine.processorCount)"),
      ("instructions", "\(Machine.instructionSet) (of \(Machine.instructionSets.joined(separator: ", ")))"),
      ("memory", ByteSize(Machine.memoryByteCount).text),
      ("disk", "\(free) free here"),
      ("zstd", Machine.zstdVersion),
      ("libcrypto", Machine.cryptoVersion),
    ]
  }

  private func writeJSON(_ json: inout JSONWriter) {
    json.member("version", version)
    json.member("processors", Machine.processorCount)
    json.member("instructions", Machine.instructionSet)
    json.array("instruction_sets", Machine.instructionSets)
    json.member("memory_bytes", Machine.memoryByteCount)
    if let free = Machine.freeByteCount(at: ".") {
      json.member("disk_free_bytes", free)
    } else {
      json.null("disk_free_bytes")
    }
    json.member("zstd", Machine.zstdVersion)
    json.member("libcrypto", Machine.cryptoVersion)
    json.member("self_test", true)
  }
}
