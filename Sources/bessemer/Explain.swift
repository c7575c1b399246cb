import ArgumentParser
import Tensors

/// Says more about the code that stands between brackets at the end of an error.
struct Explain: Command {
  static let configuration = configure("explain", "Explain the code of an error; without one, list all codes.")

  @Argument(help: "The word between brackets at the end of an error.")
  var code: String?

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    var codes = ErrorCode.allCases
    if let code {
      let word = code.filter { $0 != "[" && $0 != "]" }.lowercased()
      guard let known = ErrorCode(rawValue: word) else {
        let guess = nearest(to: word, among: codes.map(\.rawValue)).map { "; did you mean \($0)?" }
        throw BessemerError(.usage, "no error code \(quoted(code))" + (guess ?? "; `bessemer explain` lists them"))
      }
      codes = [known]
    }
    if console.isJSON {
      return try console.json("explain") { json in
        json.array("codes") { json in
          for code in codes {
            json.object { json in
              json.member("code", code.rawValue)
              json.member("exit", Int(code.exitStatus.rawValue))
              json.member("explanation", code.explanation)
            }
          }
        }
      }
    }
    if code != nil, let only = codes.first {
      return try console.out.line("\(only.rawValue) (exit code \(only.exitStatus.rawValue))\n\(only.explanation)")
    }
    var table = Table([("code", .left), ("exit", .right), ("meaning", .left)])
    for code in codes { table.row(code.rawValue, "\(code.exitStatus.rawValue)", code.explanation) }
    try table.write(to: console.out)
  }
}
