import Converter
import Digests
import FuzzSupport
import Tensors

@_cdecl("FuzzBundle_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder: Folder = {
  let folder = Folder()
  do {
    var options = ExportOptions(toolVersion: "")
    options.overwrite = true
    _ = try Exporter("../../fixtures/models/llama-base", to: folder.path, options: options).write { _, _ in }
  } catch { fatalError("\(error)") }
  return folder
}()

/// Opens and verifies the input: the manifest of a good bundle, up to the digest that ends it, if it starts with a
/// brace, else a packed bundle.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var bytes = Array(UnsafeBufferPointer(start: start, count: count))
  let isManifest = bytes.first == UInt8(ascii: "{")
  if isManifest { bytes += Array("\"\(bytes.withUnsafeBytes { SHA256.digest(of: $0) })\"\n}\n".utf8) }
  folder.put(isManifest ? "manifest.json" : "input.packed", bytes)
  let path = isManifest ? folder.path : folder.path + "/input.packed"
  if let model = try? LoadedModel(path: path) {
    for entry in model.weights.entries where entry.byteCount <= 4 << 20 { _ = try? entry.tensor() }
  }
  _ = try? Bundles.verify(path)
  return 0
}
