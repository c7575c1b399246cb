import Quantization
import Tensors

/// The `quantization_config` of a package of compressed-tensors.
struct CompressedSettings {
  /// Modules by the scheme that stores them.
  private var groups: [(scheme: CompressedScheme, modules: [String])] = []
  private let kept: [String]

  init(_ parts: [QuantizedPart], kept: [String]) {
    self.kept = kept
    for part in parts {
      guard let scheme = part.scheme as? CompressedScheme, let module = part.module else { continue }
      if let index = groups.firstIndex(where: { $0.scheme.name == scheme.name }) {
        groups[index].modules.append(module)
      } else {
        groups.append((scheme, [module]))
      }
    }
  }

  func write(_ json: inout JSONWriter) {
    let formats = Set(groups.map(\.scheme.format))
    json.object("quantization_config") { json in
      json.object("config_groups") { json in
        for (index, group) in groups.enumerated() {
          json.object("group_\(index)") {
            group.scheme.settings(groups.count == 1 ? ["Linear"] : group.modules, &$0)
          }
        }
      }
      json.member("format", formats.count == 1 ? formats.first ?? "dense" : "mixed-precision")
      json.array("ignore", kept)
      json.null("kv_cache_scheme")
      json.member("quant_method", "compressed-tensors")
      json.member("quantization_status", "compressed")
    }
  }
}
