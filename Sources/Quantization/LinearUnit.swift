internal import IR

/// Linear layers that have one scheme: programs that run a package join them into one layer.
///
/// They are those that read the same value, as queries, keys and values or gate and up projections do, and the matrices
/// of all experts of a layer. What a program joins reads one value, so this holds whatever the layers are called.
public struct LinearUnit: Sendable, Equatable {
  /// In the graph's order; at least one.
  public let layers: [LinearLayer]

  public var isQuantizedByDefault: Bool { layers[0].isQuantizedByDefault }
  public var isExperts: Bool { layers[0].role == .expert }
}

extension LinearFinder {
  /// All linear layers, each in one unit, in the order of the first of each.
  public func units() -> [LinearUnit] {
    struct Key: Hashable {
      let role: LinearLayer.Role
      /// The value that is read, but for its type; of experts their operator's result.
      let value: ValueID
    }
    var order: [Key] = []
    var layers: [Key: [LinearLayer]] = [:]
    var known: Set<String> = []
    for site in sites() where known.insert(site.layer.module).inserted {
      var value = site.input
      while let (cast, _) = graph.producer(of: value, as: Cast.self) { value = cast.operands[0] }
      let isExpert = site.layer.role == .expert
      let key = Key(role: site.layer.role, value: isExpert ? graph[site.node].results[0] : value)
      if layers[key] == nil { order.append(key) }
      layers[key, default: []].append(site.layer)
    }
    return order.map { LinearUnit(layers: layers[$0] ?? []) }
  }
}
