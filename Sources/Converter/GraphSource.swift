public import IR
internal import Tensors

/// Where commands take a graph from.
public enum GraphSource {
  /// Bytes of graph text that are read.
  public static let maximumTextByteCount = 1 << 30

  /// The graph at `path`: that of a model or a bundle, where `component` names one of several, or one written as text
  /// in a `.txt` file.
  public static func graph(
    at path: String, component: String? = nil, options: ModelOptions = ModelOptions()
  ) throws -> Graph {
    guard path.hasSuffix(".txt") else {
      return try LoadedModel(path: path, component: component, options: options).graph
    }
    var graph = try parse(path)
    try options.passes?.run(on: &graph)
    return graph
  }

  /// Parses a file of graph text and checks every rule.
  public static func parse(_ path: String) throws -> Graph {
    let bytes = try InputFile.contents(of: path, limit: maximumTextByteCount)
    return try inFile(path) {
      guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }) else {
        throw BessemerError(.graphText, "is not UTF-8")
      }
      let graph = try Graph(text: text)
      try graph.verify()
      return graph
    }
  }
}
