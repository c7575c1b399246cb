public import Digests
import IR
public import Tensors

/// What a bundle holds and where it comes from: `manifest.json`.
public struct BundleManifest: Sendable, Equatable {
  public static let fileName = "manifest.json"
  /// The value of the member `format`, by which a bundle is recognized.
  public static let format = "bessemer-bundle"
  /// The versions that are read. Version 1 has one graph; it is written where that is enough.
  public static let formatVersions = 1...2

  /// The version of the program that wrote the bundle.
  public var toolVersion: String
  /// `model_type` of the configuration, or another name of the kind of model.
  public var modelType: String
  /// The chip that the graph was prepared for; nil for none in particular.
  public var target: String?
  /// The main one first.
  public var graphs: [GraphEntry]
  public var provenance: Provenance
  /// Every file of the bundle but the manifest itself, by name.
  public var files: [File]

  /// A graph of the bundle, with its weights.
  public struct GraphEntry: Sendable, Equatable {
    /// `model`, or where there are several, `transformer` or `vae/decoder`.
    public let name: String
    /// The file of its text.
    public let file: String
    public let inputs: [Port]
    public let states: [Port]
    public let outputs: [Port]
    public var weights: Weights
  }

  /// An input, state or output of a graph.
  public struct Port: Sendable, Equatable {
    public let name: String
    /// As in graph text, `i64[batch,sequence]`.
    public let type: String

    public init(name: String, type: String) {
      self.name = name
      self.type = type
    }
  }

  /// A file by size and digest.
  public struct File: Sendable, Equatable {
    public let name: String
    public let byteCount: Int
    public let sha256: Digest

    public init(name: String, byteCount: Int, sha256: Digest) {
      self.name = name
      self.byteCount = byteCount
      self.sha256 = sha256
    }

    /// A file that the bundle is made from, hashed now; only the last component of its path is kept.
    public init(source file: MappedFile, progress: (Int) -> Void = { _ in }) throws {
      let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
      self.init(
        name: name, byteCount: file.byteCount, sha256: try SHA256.digest(of: file.bytes, progress: progress))
    }
  }

  /// How the weights are stored.
  public struct Weights: Sendable, Equatable {
    public enum Container: String, Sendable, CaseIterable {
      case safetensors
      /// Independent zstd frames, see ``CompressedWeights``.
      case zstd
    }

    /// A tensor whose bytes are not those of its type and shape in row-major order.
    public struct Form: Sendable, Equatable {
      public let dtype: DType
      public let shape: [Int]
      public let layout: WeightLayout
    }

    public var container: Container
    /// The files that hold tensors, in order.
    public var files: [String]
    public var tensorCount: Int
    /// The bytes that all tensors take in their layouts.
    public var byteCount: Int
    /// By name; of the tensors that are not listed the container says all.
    public var forms: [TensorName: Form]
  }

  /// Where the bundle comes from.
  public struct Provenance: Sendable, Equatable {
    /// What a pass saw and left.
    public struct Declined: Sendable, Equatable {
      public let result: String
      public let reason: String
      public let count: Int

      public init(result: String, reason: String, count: Int) {
        self.result = result
        self.reason = reason
        self.count = count
      }
    }

    /// What a narrowing cast did to the values of a tensor.
    public struct Loss: Sendable, Equatable {
      public let tensor: String
      public let from: DType
      public let to: DType
      public let count: CastLosses.Count
    }

    /// The files that the model was read from.
    public var sources: [File]
    /// Every option of the run by name.
    public var options: [String: String]
    /// How often each operator was made by fusion.
    public var fusions: [String: Int]
    public var declined: [Declined]
    /// By tensor; filled in by the writer.
    public internal(set) var losses: [Loss] = []

    public init(
      sources: [File] = [], options: [String: String] = [:], fusions: [String: Int] = [:], declined: [Declined] = []
    ) {
      self.sources = sources
      self.options = options
      self.fusions = fusions
      self.declined = declined
    }
  }

  /// The version of the format that has room for what this says.
  public var formatVersion: Int { graphs.count == 1 && graphs[0].name == Part.mainName ? 1 : 2 }

  /// The file of this name.
  public func file(named name: String) -> File? { files.first { $0.name.utf8.elementsEqual(name.utf8) } }
}

extension BundleManifest {
  /// How the files of a graph are named.
  struct Part {
    /// The name of a graph that stands alone.
    static let mainName = "model"
    private let prefix: String

    /// - Parameter isAlone: whether the bundle has no other graph.
    init(_ name: String, isAlone: Bool) {
      prefix =
        isAlone && name == Part.mainName
        ? "" : String(decoding: name.utf8.map { $0 == UInt8(ascii: "/") ? UInt8(ascii: "-") : $0 }, as: UTF8.self) + "."
    }

    var graph: String { prefix + "graph.txt" }
    var compressedWeights: String { prefix + "weights.bsz" }
    var compressedIndex: String { prefix + "weights.bsz.json" }

    /// The file of shard `number` of `count`, counted from 1.
    func weights(_ number: Int, of count: Int) -> String {
      func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
      }
      return prefix
        + (count == 1 ? "weights.safetensors" : "weights-\(padded(number))-of-\(padded(count)).safetensors")
    }
  }

  /// The text of `manifest.json`. Its last member is the digest of all bytes before that digest.
  var text: [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("format", BundleManifest.format)
      json.member("format_version", formatVersion)
      json.member("bessemer_version", toolVersion)
      json.member("model_type", modelType)
      if let target { json.member("target", target) } else { json.null("target") }
      if formatVersion == 1 {
        graphs[0].write(to: &json)
      } else {
        json.array("graphs") { json in
          for graph in graphs {
            json.object { json in
              json.member("name", graph.name)
              json.member("file", graph.file)
              graph.write(to: &json)
            }
          }
        }
      }
      json.object("provenance") { write(provenance, to: &$0) }
      json.array("files") { json in for file in files { file.write(to: &json) } }
      json.key("sha256")
      let hash = SHA256()
      json.utf8.withUnsafeBytes { hash.update($0) }
      json.value(hash.finish().description)
    }
    return json.utf8 + [UInt8(ascii: "\n")]
  }

  private func write(_ provenance: Provenance, to json: inout JSONWriter) {
    json.array("sources") { json in for file in provenance.sources { file.write(to: &json) } }
    json.object("options") { json in
      for (key, value) in provenance.options.sorted(by: { TensorName($0.key) < TensorName($1.key) }) {
        json.member(key, value)
      }
    }
    json.object("fusions") { json in
      for (key, count) in provenance.fusions.sorted(by: { TensorName($0.key) < TensorName($1.key) }) {
        json.member(key, count)
      }
    }
    json.array("declined") { json in
      for declined in provenance.declined {
        json.object { json in
          json.member("result", declined.result)
          json.member("reason", declined.reason)
          json.member("count", declined.count)
        }
      }
    }
    json.array("losses") { json in
      for loss in provenance.losses {
        json.object { json in
          json.member("tensor", loss.tensor)
          json.member("from", loss.from.rawValue)
          json.member("to", loss.to.rawValue)
          json.member("examined", loss.count.examined)
          json.member("changed", loss.count.changed)
          json.member("overflowed", loss.count.overflowed)
        }
      }
    }
  }
}

extension BundleManifest.GraphEntry {
  /// The ports of a graph.
  init(_ name: String, file: String, graph: Graph, weights: BundleManifest.Weights) {
    func port(_ name: String, _ value: ValueID) -> BundleManifest.Port {
      BundleManifest.Port(name: name, type: graph.type(of: value).description)
    }
    self.init(
      name: name, file: file, inputs: graph.inputs.map { port($0.name, $0.value) },
      states: graph.states.map { port($0.name, $0.value) }, outputs: graph.outputs.map { port($0.name, $0.value) },
      weights: weights)
  }

  /// The members that say what the graph takes, gives and reads.
  fileprivate func write(to json: inout JSONWriter) {
    for (key, ports) in [("inputs", inputs), ("states", states), ("outputs", outputs)] {
      json.array(key) { json in
        for port in ports {
          json.object { json in
            json.member("name", port.name)
            json.member("type", port.type)
          }
        }
      }
    }
    json.object("weights") { json in
      json.member("container", weights.container.rawValue)
      json.array("files", weights.files)
      json.member("tensor_count", weights.tensorCount)
      json.member("byte_count", weights.byteCount)
      json.object("forms") { json in
        for (name, form) in weights.forms.sorted(by: { $0.key < $1.key }) {
          json.object(name.string) { json in
            json.member("dtype", form.dtype.rawValue)
            json.array("shape", form.shape)
            json.member("layout", form.layout.rawValue)
          }
        }
      }
    }
  }
}

extension BundleManifest.File {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("name", name)
      json.member("byte_count", byteCount)
      json.member("sha256", sha256.description)
    }
  }
}
