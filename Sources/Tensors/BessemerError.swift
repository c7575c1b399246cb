/// What went wrong with an input, an option or the machine: one line for a person, a code for a script.
///
/// The line reads `error: FILE: MESSAGE [CODE]`, where the message says what was found, where, and what was expected.
/// Names that come from a file are quoted with ``quoted(_:)`` before they enter a message.
public struct BessemerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The class of the problem; `bessemer explain CODE` tells more.
  public var code: ErrorCode
  /// What was found and what was expected, in one line.
  public var message: String
  /// The file that the problem is in, as the user named it.
  public var file: String?
  /// The single problems when there are several, one line each.
  public var details: [String]

  public init(_ code: ErrorCode, _ message: String, file: String? = nil, details: [String] = []) {
    self.code = code
    self.message = message
    self.file = file
    self.details = details
  }

  /// The same error, said of a file, unless it already names one. Context is added once, at the seam.
  public func at(file: String) -> BessemerError {
    guard self.file == nil else { return self }
    return BessemerError(code, message, file: file, details: details)
  }

  /// `FILE: MESSAGE [CODE]`, always a single line without control characters.
  public var description: String {
    let place = file.map { escaped($0, limit: 240) + ": " } ?? ""
    return place + escaped(message, limit: 700) + " [\(code.rawValue)]"
  }
}

/// Runs `body` and names `file` in any ``BessemerError`` it throws that names none yet.
public func inFile<R>(_ file: String, _ body: () throws -> R) throws -> R {
  do { return try body() } catch let error as BessemerError { throw error.at(file: file) }
}

/// A name from a file between quotes, control characters escaped, shortened to 80 characters: fit to be printed.
public func quoted(_ name: String) -> String { "\"" + escaped(name, limit: 80) + "\"" }

/// `text` with control and format characters written as `\u{…}` and the middle left out beyond `limit` characters.
public func escaped(_ text: String, limit: Int = .max) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    guard count < limit else {
      result += "…"
      break
    }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
      result += "\\u{" + String(scalar.value, radix: 16) + "}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
