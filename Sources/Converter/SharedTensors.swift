public import Digests
public import Tensors

/// Tensors that are one and the same: tied weights.
public struct SharedTensors: Sendable, Equatable {
  /// How it is known.
  public enum Reason: String, Sendable {
    /// They lie at the same place of a file.
    case place
    /// Their digests are equal: type, shape and values.
    case content
  }

  /// In the order of the checkpoint.
  public let names: [TensorName]
  public let reason: Reason

  /// The groups among `entries`, by the order of their first tensors. Tensors without bytes share nothing. Only with
  /// `digests`, one for each, is content compared; tensors of one value throughout count then, too.
  public static func groups(_ entries: [TensorStore.Entry], digests: [Digest]? = nil) throws -> [SharedTensors] {
    var places: [Place: [Int]] = [:]
    for (index, entry) in entries.enumerated() where entry.byteCount > 0 {
      // Only bytes that lie together have a place.
      if let place = try Place(entry) { places[place, default: []].append(index) }
    }
    var groups = places.values.filter { $0.count > 1 }.map { ($0, Reason.place) }
    if let digests {
      var known = Set(groups.map(\.0))
      for group in Dictionary(grouping: entries.indices, by: { digests[$0] }).values
      where group.count > 1 && entries[group[0]].byteCount > 0 && known.insert(group).inserted {
        groups.append((group, .content))
      }
    }
    return groups.sorted { $0.0.lexicographicallyPrecedes($1.0) }.map { indices, reason in
      SharedTensors(names: indices.map { entries[$0].name }, reason: reason)
    }
  }

  private struct Place: Hashable {
    let address: UInt
    let byteCount: Int

    init?(_ entry: TensorStore.Entry) throws {
      guard let address = try entry.mappedAddress() else { return nil }
      self.address = address
      byteCount = entry.byteCount
    }
  }
}
