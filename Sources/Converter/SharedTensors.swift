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
    var groups: [([Int], Reason)] = []
    // Only bytes that lie together have a place. Mostly none occurs twice, which sorting numbers tells soonest.
    let addresses = try entries.map { try $0.mappedAddress() ?? 0 }
    let sorted = addresses.sorted()
    if zip(sorted, sorted.dropFirst()).contains(where: { $0 == $1 && $0 > 0 }) {
      let places = Dictionary(grouping: entries.indices) {
        Place(address: addresses[$0], byteCount: entries[$0].byteCount)
      }
      groups = places.filter { $0.key.address > 0 && $0.value.count > 1 }.map { ($0.value, .place) }
    }
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
  }
}
