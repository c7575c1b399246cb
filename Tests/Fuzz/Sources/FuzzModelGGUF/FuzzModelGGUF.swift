import Converter
import FuzzSupport

@_cdecl("FuzzModelGGUF_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

/// Makes a model's folder of the input, a GGUF file: configuration, tokenizer, and weights.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  folder.put("input.gguf", Array(UnsafeBufferPointer(start: start, count: count)))
  var options = ConversionOptions()
  options.format = "safetensors"
  options.overwrite = true
  guard let conversion = try? Conversion(folder.path + "/input.gguf", to: folder.path + "/model", options: options),
    conversion.byteCount <= 4 << 20
  else { return 0 }
  do { _ = try conversion.write { _, _ in } } catch { precondition("\(error)".utf8.count < 1 << 16, "a long error") }
  return 0
}
