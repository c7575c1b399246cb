import Synchronization
import Tensors

/// Tells cheaply that two expressions differ: by groups of elements here and there.
final class Prober: Sendable {
  /// Tensors that are made in order are kept in memory while they are probed, if they are no larger.
  private static let maximumByteCount = 32 << 20
  /// Groups that are compared.
  private static let groupCount = 12

  /// The tensors that may be opened: an expression may hold others, which were computed.
  private let known: Set<Key>
  private let opened = Mutex<[Key: TensorBytes]>([:])
  private let memory = Mutex<[(key: Key, bytes: TensorBytes)]>([])

  init(_ entries: [TensorStore.Entry]) { known = Set(entries.map { Key($0) }) }

  private struct Key: Hashable {
    let file: String
    let name: TensorName
    let type: TensorType
    let isStreamed: Bool

    init(_ entry: TensorStore.Entry) {
      (file, name, type, isStreamed) = (entry.file, entry.name, entry.type, entry.isStreamed)
    }
  }

  /// Whether elements of a tensor can be had in any order without reading all of it into memory.
  func canOpen(_ entry: TensorStore.Entry) throws -> Bool { try open(entry) != nil }

  /// The expression opened; nil when one of its tensors cannot be.
  func open(_ expression: TensorExpression) throws -> OpenedExpression? {
    for entry in expression.sources where try open(entry) == nil { return nil }
    return try expression.opened { try open($0) ?? TensorBytes() }
  }

  private func open(_ entry: TensorStore.Entry) throws -> TensorBytes? {
    let key = Key(entry)
    guard known.contains(key) else { return nil }
    if let known = opened.withLock({ $0[key] }) { return known }
    if let known = memory.withLock({ list in list.first { $0.key == key }?.bytes }) { return known }
    if let bytes = try entry.bytes() {
      opened.withLock { $0[key] = bytes }
      return bytes
    }
    guard entry.byteCount <= Prober.maximumByteCount else { return nil }
    let bytes = TensorBytes(try entry.tensor().bytes)
    memory.withLock { list in
      if list.count > 1 { list.removeFirst() }
      list.append((key, bytes))
    }
    return bytes
  }

  /// False when the two surely differ; they have the same type and number of elements.
  func mayBeEqual(_ a: OpenedExpression, _ b: OpenedExpression) throws -> Bool {
    let count = a.groupCount
    guard count == b.groupCount else { return false }
    var place: UInt64 = 0x9E37_79B9
    for k in 0..<min(count, Prober.groupCount) {
      // All groups of a short tensor, else any.
      place = place &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let index = count <= Prober.groupCount ? k : Int((place >> 20) % UInt64(count))
      guard try a.group(index) == b.group(index) else { return false }
    }
    return true
  }
}
