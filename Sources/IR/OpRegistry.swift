/// Every operator by name.
public struct OpRegistry: Sendable {
  public let ops: [any Op.Type]
  private let byName: [String: any Op.Type]

  public init(_ ops: [any Op.Type]) {
    self.ops = ops
    byName = Dictionary(uniqueKeysWithValues: ops.map { ($0.schema.name, $0) })
  }

  public subscript(name: String) -> (any Op.Type)? { byName[name] }

  /// All operators of this package.
  public static let standard = OpRegistry(allOps)
}
