/// All schemes, and their names.
public enum LinearSchemes {
  /// By alphabet, with one scale for a row where a scheme leaves the choice.
  public static let all: [any LinearScheme] = [
    FP8(),
    HiF8(),
    MXFP4(),
    MXFP4Dual(),
    MXFP8(),
    W4A16(),
    W4A4Dynamic(),
    W4A8Dynamic(),
    W4A8MX(),
    W8A16(),
    W8A8(),
    W8A8Dynamic(),
    W8A8Mix(),
  ]

  /// Names of other programs, without marks between their words.
  private static let spellings = [
    "w8a8static": "w8a8", "int8": "w8a8-dynamic", "w8a8pertoken": "w8a8-dynamic", "w8a8pdmix": "w8a8-mix",
    "w4a8": "w4a8-dynamic", "w4a4": "w4a4-dynamic", "w8a8fp8": "fp8", "w8a8fp8dynamic": "fp8",
    "wfp8afp8dynamic": "fp8", "w8a8f8": "fp8", "w8a8mxfp8": "mxfp8", "w4a4mxfp4": "mxfp4", "w4a4f4": "mxfp4",
    "w4a8mxfp": "w4a8-mx", "w4a8f8": "w4a8-mx",
  ]

  /// The scheme that a person names, as this program, a description or msModelSlim spells it, with `-g128` for groups
  /// of 128 inputs and `-asym` for offsets; nil for no known one.
  public static func scheme(_ word: String) -> (any LinearScheme)? {
    let marks = word.lowercased().split(separator: "-")
    if let mark = marks.last, mark == "asym" {
      return scheme(String(word.dropLast(mark.count + 1)))?.asymmetric()
    }
    if let mark = marks.last, mark.first == "g", let size = Int(mark.dropFirst()), (8...65536).contains(size),
      size % 8 == 0
    {
      return scheme(String(word.dropLast(mark.count + 1)))?.grouped(size)
    }
    func plain(_ text: String) -> String { text.lowercased().filter { $0 != "-" && $0 != "_" } }
    let wanted = plain(word)
    return all.first { plain($0.name) == wanted || plain($0.descriptionType) == wanted }
      ?? spellings[wanted].flatMap { name in all.first { $0.name == name } }
  }
}
