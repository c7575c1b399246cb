internal import Tensors

/// The names that Keras's `.h5` files give to weights, beside the names of HDF5.
///
/// A group says in `layer_names` which of its groups are layers, and each of these in `weight_names` which of its
/// datasets are weights: `model_weights/dense/net/dense/kernel` is the weight `net/dense/kernel`. Both attributes stay
/// in the metadata, from which the way back is found. Source: `keras/src/legacy/saving/legacy_h5_format.py`.
struct KerasNames {
  /// The weights by the paths of their datasets, in the order of the model.
  private(set) var weights: [(path: String, name: String)] = []

  /// Finds what the metadata of a file says; nothing when two weights would get the same name.
  init(_ metadata: [TensorName: String]) {
    var names: Set<TensorName> = []
    for (group, layers) in KerasNames.lists(metadata, "layer_names").sorted(by: { $0.key < $1.key }) {
      let prefix = group.string.isEmpty ? "" : group.string + "/"
      // Weights of the model itself stand in a group that is not listed.
      for layer in layers + ["top_level_model_weights"] {
        let path = prefix + layer
        for weight in KerasNames.list(metadata, "weight_names", of: path) {
          weights.append((path + "/" + weight, weight))
          guard names.insert(TensorName(weight)).inserted else {
            weights = []
            return
          }
        }
      }
    }
  }

  /// The groups that have a list of this name, with the list.
  private static func lists(_ metadata: [TensorName: String], _ name: String) -> [TensorName: [String]] {
    var groups: Set<TensorName> = []
    for key in metadata.keys {
      let (path, attribute) = HDF5Attributes.parts(key.string)
      if attribute == name || attribute == name + "0" { groups.insert(TensorName(path)) }
    }
    return Dictionary(uniqueKeysWithValues: groups.map { ($0, list(metadata, name, of: $0.string)) })
  }

  /// A list of texts; long ones are cut into parts with numbers at the end.
  private static func list(_ metadata: [TensorName: String], _ name: String, of path: String) -> [String] {
    func part(_ name: String) -> [String]? {
      metadata[TensorName(HDF5Attributes.key(path, name))].flatMap { HDF5Attributes.texts($0) }
    }
    if let whole = part(name) { return whole }
    var all: [String] = []
    var index = 0
    while let next = part(name + String(index)) {
      all += next
      index += 1
    }
    return all
  }
}
