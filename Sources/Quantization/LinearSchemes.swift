/// All schemes, and their names.
public enum LinearSchemes {
  /// By alphabet, with the group sizes that each has by default.
  public static let all: [any LinearScheme] = [
    FP8(),
    MXFP4(),
    MXFP8(),
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

  /// The scheme that a person names, as this program, a description or msModelSlim spells it; nil for no known one.
  public static func scheme(_ word: String) -> (any LinearScheme)? {
    func plain(_ text: String) -> String { text.lowercased().filter { $0 != "-" && $0 != "_" } }
    let wanted = plain(word)
    return all.first { plain($0.name) == wanted || plain($0.descriptionType) == wanted }
      ?? spellings[wanted].flatMap { name in all.first { $0.name == name } }
  }
}
