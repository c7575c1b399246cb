public import Tensors

/// The weights of ONNX models: initializers and constants, inside the file and beside it.
///
/// Source: `onnx/onnx.proto`, `docs/ExternalData.md` of ONNX 1.20.
public struct ONNX: CheckpointFormat {
  public init() {}

  public var name: String { "onnx" }
  public var suffixes: [String] { [".onnx"] }
  public var summary: String { "initializers and constants of a model, with external data" }

  /// Versions of the format and of operator sets beyond which a number is taken for damage.
  private static let maximumVersion = 1000

  /// A version of the format in the first field, then one of those that follow it.
  public func recognizes(_ start: [UInt8]) -> Bool {
    guard start.count > 4, start[0] == 0x08, (1..<0x80).contains(start[1]) else { return false }
    switch start[2] {
    // A producer is a text; other messages begin alike.
    case 0x12: return start[3] < 0x80 && (start[3] == 0 || start[4] >= 0x20)
    case 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42: return true
    default: return false
    }
  }

  public func read(_ path: String) throws -> TensorStore {
    try inFile(path) {
      let file = try InputFile(path: path)
      guard file.byteCount > 0 else { throw BessemerError(.truncated, "the file is empty, expected an ONNX model") }
      let start = try file.read(at: 0, count: min(file.byteCount, 64)).array
      if start[0] != 0x08, let guess = FileGuess.name(start) {
        throw BessemerError(.wrongFormat, "not an ONNX model, it looks like \(guess)")
      }
      return try ONNX.read(ByteReader(file.map().bytes), path, fileByteCount: file.byteCount)
    }
  }

  private static func read(_ message: ByteReader, _ path: String, fileByteCount: Int) throws -> TensorStore {
    var (version, graph): (UInt64?, ByteReader?)
    var operatorSets: [TensorName: Int] = [:]
    var functions: [ONNXFunction] = []
    var metadata: [TensorName: String] = [:]
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .varint(let value)): version = value
      case (7, .bytes(let content)):
        guard graph == nil else { throw BessemerError(.header, "the model has two graphs") }
        graph = content
      case (8, .bytes(let content)):
        let (domain, number) = try operatorSet(content)
        guard operatorSets.updateValue(number, forKey: TensorName(domain)) == nil else {
          throw BessemerError(.duplicateName, "the operator set \(quoted(domain)) occurs twice")
        }
      case (14, .bytes(let content)):
        let (key, text) = try pair(content)
        guard metadata.updateValue(text, forKey: TensorName(key)) == nil else {
          throw BessemerError(.duplicateName, "the metadata \(quoted(key)) occurs twice")
        }
      case (25, .bytes(let content)): functions.append(try ONNXFunction(content))
      default: break
      }
    }
    guard let version, let graph, (1...UInt64(maximumVersion)).contains(version) else {
      throw BessemerError(.wrongFormat, "no ONNX model: it lacks a version or a graph")
    }
    guard version < 3 || !operatorSets.isEmpty, operatorSets.values.allSatisfy({ (1...maximumVersion).contains($0) })
    else { throw BessemerError(.header, "the model has no operator set, or one of an impossible version") }
    try ONNXFunction.check(functions)
    var reader = try ONNXGraph(path: path, fileByteCount: fileByteCount, functions: functions)
    try reader.read(graph, in: ONNXGraph.Scope())
    for function in functions { try reader.read(function) }
    var store = reader.store
    store.metadata = metadata
    return store
  }

  /// An `OperatorSetIdProto`.
  private static func operatorSet(_ message: ByteReader) throws -> (domain: String, version: Int) {
    var (domain, version) = ("", 0)
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      if number == 1, case .bytes(var text) = value { domain = try text.text(text.remaining, "a domain") }
      if number == 2, case .varint(let value) = value { version = Int(truncatingIfNeeded: value) }
    }
    return (domain == "ai.onnx" ? "" : domain, version)
  }

  /// A `StringStringEntryProto`.
  private static func pair(_ message: ByteReader) throws -> (key: String, value: String) {
    var texts = ["", ""]
    var fields = WireReader(message)
    while let (number, value) = try fields.next() {
      guard (1...2).contains(number), case .bytes(var text) = value else { continue }
      texts[number - 1] = try text.text(text.remaining, "metadata")
    }
    return (texts[0], texts[1])
  }
}
