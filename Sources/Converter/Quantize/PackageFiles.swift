internal import Tensors

/// The small files of a package, as far as they are not those of the model.
enum PackageFiles {
  /// A file of the model: config.json without what says how another program stored the weights, and with what says how
  /// this package does, if that is its place.
  ///
  /// - Parameter settings: writes the members that are added.
  static func bytes(_ file: ModelFiles.File, _ settings: ((inout JSONWriter) -> Void)? = nil) throws -> Bytes {
    guard file.name == "config.json" else { return file.bytes }
    let config = try inFile(file.path) { try JSON.parse(file.bytes) }
    let keys = ["quantization_config", "compression_config"]
    let holders = [config] + (config["text_config"].map { [$0] } ?? [])
    guard settings != nil || holders.contains(where: { holder in keys.contains { holder[$0] != nil } }) else {
      return file.bytes
    }
    var json = JSONWriter()
    json.object { json in
      for (key, value) in config.members where !keys.contains(key) {
        guard key == "text_config", value.kind == .object else {
          json.member(key, value)
          continue
        }
        json.object(key) { json in
          for (key, value) in value.members where !keys.contains(key) { json.member(key, value) }
        }
      }
      settings?(&json)
    }
    return Bytes(json.utf8)
  }
}
