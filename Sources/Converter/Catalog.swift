internal import Architectures
internal import Checkpoints
internal import Passes
internal import Safetensors
public import Tensors

/// What this program can read, build and target.
public enum Catalog {
  /// A kind of file or folder.
  public struct Container: Sendable {
    public let name: String
    /// `read` or `read, write`.
    public let access: String
    public let summary: String
  }

  public static let containers =
    CheckpointFormats.all.map { format in
      let access = format is any WritableCheckpointFormat ? "read, write" : "read"
      return Container(name: format.name, access: access, summary: format.describedSummary)
    } + [
      Container(name: "bundle", access: "read, write", summary: "a folder with manifest.json, or one packed file")
    ]

  /// Values of `model_type` in config.json.
  public static var modelTypes: [String] { architectures.flatMap { $0.modelTypes } }

  /// The chips to export for, by family.
  public static var targets: [(family: String, names: [String])] {
    Target.Family.allCases.map { family in (family.rawValue, Target.all.filter { $0.family == family }.map(\.name)) }
  }

  /// How safetensors spells a type; nil when it lacks it.
  public static func safetensorsName(of type: DType) -> String? { type.safetensorsName }
}

extension CheckpointFormat {
  /// What the format is, and how its files end.
  fileprivate var describedSummary: String { "\(suffixes.joined(separator: ", ")): \(summary)" }
}
