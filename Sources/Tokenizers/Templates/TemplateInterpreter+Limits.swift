import Tensors

extension TemplateInterpreter {
  /// Lists, mappings and namespaces inside each other.
  static let maximumValueDepth = 64
  /// What one of them counts as, in bytes of text.
  private static let containerVolume = 32

  /// Counts what a new value seems to hold, shared parts as often as they occur, so that none can be made that is too
  /// deep or too large to be printed, compared or taken apart. Throws ``ErrorCode/limit``.
  mutating func measure(_ value: TemplateValue, depth: Int = 0) throws {
    guard depth <= TemplateInterpreter.maximumValueDepth else {
      throw BessemerError(
        .limit, "the chat template makes values of more than \(TemplateInterpreter.maximumValueDepth) levels")
    }
    // What holds others counts too, or one that holds the same empty list twice, twice, ... would take for ever.
    switch value {
    case .list, .map, .namespace, .method: try charge(TemplateInterpreter.containerVolume)
    default: break
    }
    switch value {
    case .text(let bytes): try charge(depth > 0 ? bytes.count + 1 : 1)
    case .list(let elements): for element in elements { try measure(element, depth: depth + 1) }
    case .map(let map): for key in map.keys { try measure(map[key] ?? .undefined, depth: depth + 1) }
    case .namespace(let space): for inner in space.values.values { try measure(inner, depth: depth + 1) }
    case .method(let base, _): try measure(base, depth: depth + 1)
    case .undefined, .none, .bool, .int, .double, .macro, .function: try charge(1)
    }
  }

  /// Sets a name of a namespace, which must not come to hold itself.
  mutating func set(_ space: TemplateNamespace, _ key: String, _ value: TemplateValue) throws {
    changed.append(space)
    let old = space.values.updateValue(value, forKey: key)
    do { try measure(value) } catch {
      space.values[key] = old
      throw error
    }
  }

  /// Takes apart what may hold itself, or a chain too long to be freed from its end.
  func release() {
    for scope in macroScopes { scope.removeAll() }
    for space in changed { space.values = [:] }
  }
}
