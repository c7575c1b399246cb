import Converter
import FuzzSupport
import Tensors

@_cdecl("FuzzPackage_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder: Folder = {
  let folder = Folder()
  folder.copy("../../fixtures/quantization/packages/W8A8_DYNAMIC/config.json")
  folder.copy("../../fixtures/quantization/packages/W8A8_DYNAMIC/quant_model_weights.safetensors")
  return folder
}()

/// Opens a package whose description is the input, reads its weights, and checks it for every program.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  folder.put("quant_model_description.json", Array(UnsafeBufferPointer(start: start, count: count)))
  if let model = try? LoadedModel(path: folder.path) {
    for entry in model.weights.entries where entry.byteCount <= 4 << 20 { _ = try? entry.tensor() }
  }
  for consumer in PackageCheck.consumerNames { _ = try? PackageCheck(folder.path, for: consumer) }
  return 0
}
