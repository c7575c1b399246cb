import Converter
import FuzzSupport

@_cdecl("FuzzVocabulary_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder: Folder = {
  let folder = Folder()
  folder.copy("../../fixtures/models/llama-base/config.json")
  folder.copy("../../fixtures/models/llama-base/model.safetensors")
  return folder
}()

/// Makes a GGUF file of a model whose tokenizer is the input: a `tokenizer.json` if it starts with a brace, else a
/// `tokenizer.model`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  let (name, other) = bytes.first == UInt8(ascii: "{") ? ("json", "model") : ("model", "json")
  folder.put("tokenizer." + name, bytes)
  folder.remove("tokenizer." + other)
  var options = ConversionOptions()
  options.format = "gguf"
  options.overwrite = true
  guard let conversion = try? Conversion(folder.path, to: folder.path + ".gguf", options: options) else { return 0 }
  do { _ = try conversion.write { _, _ in } } catch { precondition("\(error)".utf8.count < 1 << 16, "a long error") }
  return 0
}
