public import IR
public import Tensors

/// Bundles as the commands see them.
public enum Bundles {
  static let manifestName = "manifest.json"

  /// A bundle's parts.
  struct Contents {
    let graph: Graph
    let weights: TensorStore
    let files: ModelFiles
  }

  static func isPacked(_ path: String) throws -> Bool { false }

  static func open(_ path: String) throws -> Contents {
    throw BessemerError(.unsupportedFeature, "bundles cannot be read", file: path)
  }
}
