import Digests
import IR
import Tensors

extension BundleManifest {
  /// Bytes of a manifest, and of any other text of ours, that are read.
  static let maximumByteCount = 64 << 20
  /// Graphs of a bundle.
  static let maximumGraphCount = 1000
  /// Files of a bundle.
  static let maximumFileCount = 10_000

  /// Whether a JSON text is the manifest of a bundle, of whatever version.
  static func recognizes(_ json: JSON) -> Bool { json["format"]?.string == format }

  /// Reads and checks a manifest by itself. Throws ``ErrorCode/bundle`` for what contradicts itself,
  /// ``ErrorCode/unsupportedFeature`` for another version of the format.
  init(text: Bytes) throws {
    let json = try JSON.parse(text)
    guard BundleManifest.recognizes(json) else {
      throw BessemerError(
        .wrongFormat, "is not the manifest of a bundle: \"format\" is not \"\(BundleManifest.format)\"")
    }
    let version = try json.required("format_version").asInt()
    guard BundleManifest.formatVersions.contains(version) else {
      throw BessemerError(
        .unsupportedFeature,
        "bundle of format version \(version), expected at most \(BundleManifest.formatVersions.upperBound); use a "
          + "matching bessemer")
    }
    try json.checkMembers(
      ["format", "format_version", "bessemer_version", "model_type", "target", "provenance", "files", "sha256"]
        + (version == 1 ? GraphEntry.members : ["graphs"]))
    let digest = try json.required("sha256")
    let hashed = try SHA256.digest(of: text[0..<digest.byteOffset]).description
    guard text[digest.byteOffset..<text.count].array == Array("\"\(hashed)\"\n}\n".utf8) else {
      throw BessemerError(.digest, "the manifest has another SHA-256 than it says: it was damaged or edited")
    }
    toolVersion = try json.required("bessemer_version").asString()
    modelType = try json.required("model_type").asString()
    target = try json.required("target").isNull ? nil : json.required("target").asString()
    if version == 1 {
      graphs = [try GraphEntry(json, Part.mainName, file: Part(Part.mainName, isAlone: true).graph)]
    } else {
      graphs = try json.required("graphs").asArray().map { json in
        try json.checkMembers(["name", "file"] + GraphEntry.members)
        return try GraphEntry(json, json.required("name").asString(), file: json.required("file").asString())
      }
    }
    provenance = try Provenance(json.required("provenance"))
    files = try json.required("files").asArray().map(File.init)
    try validate()
  }

  /// Checks names: plain, not twice, and that what the manifest speaks of is among its files.
  private func validate() throws {
    guard files.count <= BundleManifest.maximumFileCount else {
      throw BessemerError(.limit, "\(files.count) files, at most \(BundleManifest.maximumFileCount) are read")
    }
    var names: Set<TensorName> = []
    for file in files {
      try BundleManifest.checkFileName(file.name)
      guard names.insert(TensorName(file.name)).inserted else {
        throw BessemerError(.duplicateName, "file \(quoted(file.name)) is listed twice")
      }
    }
    guard !names.contains(TensorName(BundleManifest.fileName)) else {
      throw BessemerError(.bundle, "the manifest lists itself")
    }
    guard (1...BundleManifest.maximumGraphCount).contains(graphs.count) else {
      throw BessemerError(.bundle, "\(graphs.count) graphs, expected 1 to \(BundleManifest.maximumGraphCount)")
    }
    guard Set(graphs.map { TensorName($0.name) }).count == graphs.count else {
      throw BessemerError(.duplicateName, "two graphs have the same name")
    }
    var own: Set<TensorName> = []
    for name in graphFiles {
      guard names.contains(TensorName(name)) else {
        throw BessemerError(.bundle, "file \(quoted(name)) is not listed")
      }
      guard own.insert(TensorName(name)).inserted else {
        throw BessemerError(.duplicateName, "file \(quoted(name)) is named twice, for weights or graphs")
      }
    }
  }

  /// The files of graphs and of their weights.
  var graphFiles: [String] { graphs.flatMap { [$0.file] + $0.weights.files } }

  /// Throws unless `name` is the name of a file in the bundle itself: no separator, no climbing out, at most 255 bytes.
  static func checkFileName(_ name: String) throws {
    try InputFolder.checkName(name)
    guard !name.utf8.contains(UInt8(ascii: "/")), name.utf8.count <= 255, !name.hasPrefix(".") else {
      throw BessemerError(.pathEscape, "file name \(quoted(name)) is not a plain name")
    }
  }
}

extension BundleManifest.GraphEntry {
  fileprivate static let members = ["inputs", "states", "outputs", "weights"]

  fileprivate init(_ json: JSON, _ name: String, file: String) throws {
    func ports(_ key: String) throws -> [BundleManifest.Port] {
      try json.required(key).asArray().map(BundleManifest.Port.init)
    }
    self.init(
      name: name, file: file, inputs: try ports("inputs"), states: try ports("states"), outputs: try ports("outputs"),
      weights: try BundleManifest.Weights(json.required("weights")))
  }
}

extension BundleManifest.Port {
  fileprivate init(_ json: JSON) throws {
    try json.checkMembers(["name", "type"])
    self.init(name: try json.required("name").asString(), type: try json.required("type").asString())
  }
}

extension BundleManifest.File {
  init(_ json: JSON) throws {
    try json.checkMembers(["name", "byte_count", "sha256"])
    let text = try json.required("sha256")
    guard let digest = Digest(hex: try text.asString()) else { throw text.mismatch("64 hexadecimal digits") }
    self.init(
      name: try json.required("name").asString(), byteCount: try json.required("byte_count").asInt(in: 0...(1 << 48)),
      sha256: digest)
  }
}

extension BundleManifest.Weights {
  fileprivate init(_ json: JSON) throws {
    try json.checkMembers(["container", "files", "tensor_count", "byte_count", "forms"])
    let text = try json.required("container")
    guard let container = Container(rawValue: try text.asString()) else {
      throw BessemerError(.unsupportedFeature, "weights in a container \(text.summary) that is not known")
    }
    self.container = container
    files = try json.required("files").asArray().map { try $0.asString() }
    tensorCount = try json.required("tensor_count").asInt(in: 0...(1 << 32))
    byteCount = try json.required("byte_count").asInt(in: 0...(1 << 62))
    forms = [:]
    for (name, value) in try json.required("forms").asObject() { forms[TensorName(name)] = try Form(value) }
  }
}

extension BundleManifest.Weights.Form {
  /// Reads type, shape and layout, which fit each other.
  init(_ json: JSON) throws {
    let (type, layout) = (try json.required("dtype"), try json.required("layout"))
    guard let dtype = DType(rawValue: try type.asString()) else {
      throw BessemerError(.unsupportedType, "the type \(type.summary) is not known")
    }
    guard let known = WeightLayout(rawValue: try layout.asString()) else {
      throw BessemerError(.unsupportedFeature, "the layout \(layout.summary) is not known")
    }
    let dims = try json.required("shape")
    guard dims.count <= 32 else { throw BessemerError(.limit, "\(dims.count) dimensions, at most 32 are read") }
    let shape = try dims.asArray().map { try $0.asInt(in: 0...(1 << 48)) }
    guard known.byteCount(dtype, shape: shape) != nil else {
      throw BessemerError(
        .tensorLayout, "\(TensorType(dtype, shape: shape)) cannot have the layout \"\(known.rawValue)\"")
    }
    self.init(dtype: dtype, shape: shape, layout: known)
  }
}

extension BundleManifest.Provenance {
  fileprivate init(_ json: JSON) throws {
    try json.checkMembers(["sources", "options", "fusions", "declined", "losses"])
    sources = try json.required("sources").asArray().map(BundleManifest.File.init)
    options = [:]
    for (key, value) in try json.required("options").asObject() { options[key] = try value.asString() }
    fusions = [:]
    for (key, value) in try json.required("fusions").asObject() { fusions[key] = try value.asInt(in: 0...(1 << 48)) }
    declined = try json.required("declined").asArray().map { json in
      try json.checkMembers(["result", "reason", "count"])
      return Declined(
        result: try json.required("result").asString(), reason: try json.required("reason").asString(),
        count: try json.required("count").asInt(in: 0...(1 << 48)))
    }
    losses = try json.required("losses").asArray().map { json in
      try json.checkMembers(["tensor", "from", "to", "examined", "changed", "overflowed"])
      func type(_ key: String) throws -> DType {
        let text = try json.required(key)
        guard let dtype = DType(rawValue: try text.asString()) else { throw text.mismatch("an element type") }
        return dtype
      }
      func number(_ key: String) throws -> Int { try json.required(key).asInt(in: 0...(1 << 62)) }
      let count = CastLosses.Count(
        examined: try number("examined"), changed: try number("changed"), overflowed: try number("overflowed"))
      return Loss(
        tensor: try json.required("tensor").asString(), from: try type("from"), to: try type("to"), count: count)
    }
  }
}

extension JSON {
  /// Throws ``ErrorCode/bundle`` when this is no object or has a member that is not among these.
  func checkMembers(_ known: [String]) throws {
    for (key, _) in try asObject() where !known.contains(where: { $0.utf8.elementsEqual(key.utf8) }) {
      throw BessemerError(
        .bundle, "\(path.isEmpty ? "the manifest" : quoted(path)) has an unknown member \(quoted(key))")
    }
  }
}
