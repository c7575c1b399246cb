internal import IR
internal import Tensors

/// Bundles as the commands see them.
public enum Bundles {
  static let manifestName = "manifest.json"

  /// A bundle's parts.
  struct Contents {
    let graph: Graph
    let weights: TensorStore
    let files: ModelFiles
  }

  /// How much a bundle holds.
  public struct Extent: Sendable {
    public let fileCount: Int
    public let byteCount: Int
  }

  static func isPacked(_ path: String) throws -> Bool { false }

  static func open(_ path: String) throws -> Contents {
    throw BessemerError(.unsupportedFeature, "bundles cannot be read", file: path)
  }

  public static func verify(_ path: String) throws -> Extent {
    throw BessemerError(.unsupportedFeature, "bundles cannot be read", file: path)
  }
  public static func pack(_ path: String, to output: String, overwrite: Bool, isDryRun: Bool) throws -> Extent {
    throw BessemerError(.unsupportedFeature, "bundles cannot be read", file: path)
  }
  public static func unpack(_ path: String, to output: String, overwrite: Bool, isDryRun: Bool) throws -> Extent {
    throw BessemerError(.unsupportedFeature, "bundles cannot be read", file: path)
  }
}

extension Exporter {
  public var byteCount: Int { model.weights.byteCount }
  public func plan() throws -> Summary {
    Summary(weights: model.weights.entries.map { .init(name: $0.name.string, type: $0.type, change: "unchanged", byteCount: $0.byteCount) }, byteCount: model.weights.byteCount, fileCount: 0)
  }
  public func write(_ progress: (Int) -> Void) throws -> Summary {
    throw BessemerError(.unsupportedFeature, "bundles cannot be written", file: output)
  }
}
