internal import Tensors

/// Layers that loaders join into one, which then has one type.
extension CheckedFolder {
  private static let parts: [(joint: String, names: [String])] = [
    ("qkv_proj", ["q_proj", "k_proj", "v_proj"]), ("gate_up_proj", ["gate_proj", "up_proj"]),
    ("fused_qkv_a_proj", ["q_a_proj", "kv_a_proj_with_mqa"]), ("in_proj_qkvz", ["in_proj_qkv", "in_proj_z"]),
    ("in_proj_ba", ["in_proj_b", "in_proj_a"]), ("gate_up_proj", ["w1", "w3"]),
  ]

  /// Notes joint layers whose parts have different types, or ranges of their input.
  mutating func checkFused() {
    let types = Dictionary(types.map { ($0.name, $0.type) }) { first, _ in first }
    var experts: [String: [String: String]] = [:]
    for (name, type) in types where name.hasSuffix(".weight") {
      let module = name.dropLast(7)
      if let range = module.firstRange(of: ".experts.") {
        experts[String(module[..<range.lowerBound]), default: [:]][type] = name
      }
      guard let dot = module.lastIndex(of: ".") else { continue }
      let (prefix, last) = (module[..<dot], module[module.index(after: dot)...])
      for (joint, parts) in CheckedFolder.parts where parts[0] == last {
        let all = parts.map { "\(prefix).\($0)" }.filter { types[$0 + ".weight"] != nil }
        let found = Set(all.compactMap { types[$0 + ".weight"] })
        if found.count > 1 {
          add(
            "fused-types", "\(prefix).\(joint)",
            "is made of parts of the types \(found.sorted().joined(separator: ", "))",
            "quantize \(parts.joined(separator: ", ")) by one scheme")
        } else if type == "W8A8" || type == "W8A8_MIX" {
          checkGrids(all, "\(prefix).\(joint)")
        }
      }
    }
    for (prefix, found) in experts.sorted(by: { $0.key < $1.key }) where found.count > 1 {
      add(
        "fused-types", "\(prefix).experts", "have the types \(found.keys.sorted().joined(separator: ", "))",
        "quantize all experts of a layer by one scheme")
    }
  }

  /// Parts of one layer share their input, and the loader has one place for its scale.
  private mutating func checkGrids(_ modules: [String], _ place: String) {
    for suffix in ["input_scale", "input_offset"] {
      let values = modules.compactMap { module -> Double? in
        guard let entry = tensors[TensorName("\(module).\(suffix)")], entry.shape == [1] else { return nil }
        return try? entry.tensor().doubles[0]
      }
      guard Set(values).count > 1 else { continue }
      add(
        "fused-inputs", place, "has parts with different \(suffix): \(values)",
        "calibrate the parts together, so that they carry the same numbers")
    }
  }
}
