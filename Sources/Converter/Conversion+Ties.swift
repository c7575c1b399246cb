internal import Checkpoints
internal import Tensors

extension Conversion {
  /// Ends of the names that published models give to a weight that they tie to another one.
  private static let copyNames = [
    "lm_head.weight", "embed_out.weight", "output.weight", "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight", "predictions.decoder.weight", "predictions.decoder.bias",
  ]

  /// Tensors that are the same bytes of the same file, in groups of two and more.
  static func ties(_ store: TensorStore) throws -> [[TensorName]] {
    try groups(store.entries) { $0.byteCount > 0 ? try $0.place : nil }.map { group in
      group.map { store.entries[$0].name }
    }
  }

  /// For tensors that are made of the same bytes in the same way, the one that is stored for all: the first whose name
  /// is not one that copies have.
  static func twins(_ planned: [Planned]) throws -> [TensorName: TensorName] {
    var twins: [TensorName: TensorName] = [:]
    for group in try groups(planned, by: Source.init) {
      let kept = group.first { index in !copyNames.contains { planned[index].name.string.hasSuffix($0) } } ?? group[0]
      for index in group where index != kept { twins[planned[index].name] = planned[kept].name }
    }
    return twins
  }

  /// Where the bytes of a tensor come from, and what is done to them.
  private struct Source: Hashable {
    let places: [TensorStore.Entry.Place]
    let steps: [String]
    let type: TensorType
    let encoding: String?

    init?(_ tensor: Planned) throws {
      let expression = tensor.expression
      places = try expression.sources.compactMap { try $0.place }
      guard expression.byteCount ?? 0 > 0, !places.isEmpty, places.count == expression.sources.count else { return nil }
      (steps, type, encoding) = (expression.steps, expression.type, tensor.encoding?.rawValue)
    }
  }

  private static func groups<Element, Key: Hashable>(
    _ elements: [Element], by key: (Element) throws -> Key?
  ) rethrows -> [[Int]] {
    var groups: [Key: [Int]] = [:]
    for (index, element) in elements.enumerated() {
      if let key = try key(element) { groups[key, default: []].append(index) }
    }
    return groups.values.filter { $0.count > 1 }.sorted { $0[0] < $1[0] }
  }
}
