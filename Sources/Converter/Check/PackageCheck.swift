internal import Tensors

/// What a program that loads packages would stumble over, found by headers and JSON files alone.
public struct PackageCheck: Sendable {
  /// One thing that is wrong.
  public struct Problem: Sendable, Equatable {
    /// A word that stays the same: `fused-types`.
    public let code: String
    /// The tensor, layer or file.
    public let place: String
    public let message: String
    /// What to do about it.
    public let fix: String
  }

  /// The programs, by the names that ``init(_:for:soc:tensorParallel:)`` takes, in alphabetical order.
  static let consumers: [any PackageConsumer.Type] = [
    CompressedTensorsConsumer.self, LlamaCppConsumer.self, MindFormersConsumer.self, MindIEConsumer.self,
    VLLMAscendConsumer.self,
  ]
  public static let consumerNames = consumers.map { $0.name }

  public let consumer: String
  public let problems: [Problem]
  /// Tensors that were looked at.
  public let tensorCount: Int

  /// Checks what is at `path` for a program, on a chip and for so many devices that share each layer. Throws
  /// ``ErrorCode/usage`` for an unknown program or chip, and what keeps the files from being read.
  public init(_ path: String, for consumer: String, soc: String? = nil, tensorParallel: Int = 1) throws {
    guard let type = PackageCheck.consumers.first(where: { $0.name == consumer.lowercased() }) else {
      let names = PackageCheck.consumerNames.joined(separator: ", ")
      throw BessemerError(.usage, "no consumer \(quoted(consumer)); expected one of \(names)")
    }
    let chip = try soc.map { name in
      guard let chip = Chip(name) else {
        throw BessemerError(
          .usage, "no chip \(quoted(name)); expected one such as Ascend910B3, Ascend310P3 or Ascend950")
      }
      return chip
    }
    guard (1...1024).contains(tensorParallel) else { throw BessemerError(.usage, "--tp takes 1 to 1024") }
    self.consumer = type.name
    (problems, tensorCount) = try type.check(path, CheckOptions(chip: chip, tensorParallel: tensorParallel))
  }
}

/// A program that loads packages: a file of this folder and a line in ``PackageCheck``.
protocol PackageConsumer: Sendable {
  static var name: String { get }
  static func check(_ path: String, _ options: CheckOptions) throws -> (problems: [PackageCheck.Problem], tensors: Int)
}

struct CheckOptions {
  /// Nil when nothing is said of it.
  let chip: Chip?
  let tensorParallel: Int
}

/// Generations of chips, as far as schemes differ on them.
enum Chip {
  case ascend310, ascend310B, ascend310P, ascend910, a2, a3, a5

  /// By the name that ATC takes, or that of the products: `Ascend910B3`, `A2`, `310P`.
  init?(_ name: String) {
    var word = name.lowercased()
    if word.hasPrefix("ascend") { word.removeFirst(6) }
    switch word {
    case "a2": self = .a2
    case "a3": self = .a3
    case "a5": self = .a5
    case "310": self = .ascend310
    case "910", "910a", "910b", "910proa", "910prob", "910premiuma": self = .ascend910
    case _ where word.hasPrefix("310p"): self = .ascend310P
    case _ where word.hasPrefix("310b"): self = .ascend310B
    case _ where word.hasPrefix("950"), _ where word.hasPrefix("910_95"): self = .a5
    case _ where word.hasPrefix("910b"): self = .a2
    case _ where word.hasPrefix("910_93"): self = .a3
    default: return nil
    }
  }

  var isA2OrLater: Bool { self == .a2 || self == .a3 || self == .a5 }
}
