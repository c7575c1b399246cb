internal import Tensors

extension TensorStore {
  /// The tensors with stacked matrices of experts as one for each: `PREFIX.experts.gate_up_proj` [experts, 2 * inner,
  /// hidden] and `PREFIX.experts.down_proj` [experts, hidden, inner], or both the other way round, as
  /// `PREFIX.experts.E.{gate,up,down}_proj.weight`. Nothing is read.
  func withSeparateExperts() throws -> TensorStore {
    let joint = ".experts.gate_up_proj"
    guard entries.contains(where: { $0.name.string.hasSuffix(joint) }) else { return self }
    var result = TensorStore()
    result.metadata = metadata
    for entry in entries {
      let name = entry.name.string
      let isJoint = name.hasSuffix(joint)
      let prefix = String(name.dropLast(isJoint ? 13 : 10))
      guard isJoint || name.hasSuffix(".experts.down_proj"),
        let first = self[TensorName(prefix + ".gate_up_proj")], let last = self[TensorName(prefix + ".down_proj")],
        let isTurned = TensorStore.isTurned(first.shape, last.shape)
      else {
        try result.append(entry)
        continue
      }
      let inner = isTurned ? last.shape[1] : last.shape[2]
      for expert in 0..<first.shape[0] {
        func add(_ part: String, _ range: Range<Int>?) throws {
          var matrix = try TensorExpression(entry).sliced(axis: 0, first: expert, count: 1).reshaped(
            Array(entry.shape.dropFirst()))
          if let range {
            matrix = try matrix.sliced(axis: isTurned ? 1 : 0, first: range.lowerBound, count: range.count)
          }
          if isTurned { matrix = try matrix.transposed([1, 0]) }
          try result.append(
            Entry(TensorName("\(prefix).\(expert).\(part).weight"), matrix, file: entry.file))
        }
        guard isJoint else {
          try add("down_proj", nil)
          continue
        }
        try add("gate_proj", 0..<inner)
        try add("up_proj", inner..<(2 * inner))
      }
    }
    return result
  }

  /// Whether stacks are [experts, inputs, outputs]; nil for shapes that are no such stacks.
  private static func isTurned(_ joint: [Int], _ down: [Int]) -> Bool? {
    guard joint.count == 3, down.count == 3, joint[0] == down[0], joint[0] <= 4096, joint[0] > 0 else { return nil }
    if joint[2] == down[1], joint[1] / 2 == down[2], joint[1] % 2 == 0 { return false }
    return joint[1] == down[2] && joint[2] / 2 == down[1] && joint[2] % 2 == 0 ? true : nil
  }
}

extension TensorStore.Entry {
  /// A range of the bytes, which begins and ends with elements: a window of a file, or made for this.
  func window(_ range: Range<Int>) throws -> Bytes {
    guard isStreamed else { return try tensor().bytes[range] }
    guard let bytes = try bytes() else { return try tensor().bytes[range] }
    return try Bytes(byteCount: range.count) { target in
      if let base = target.baseAddress { try bytes.read(range, into: base) }
    }
  }
}
