import Converter
import FuzzSupport

@_cdecl("FuzzMap_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

/// Converts a checkpoint by the input as a map.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  folder.put("map.yaml", Array(UnsafeBufferPointer(start: start, count: count)))
  var options = ConversionOptions()
  options.maps = [folder.path + "/map.yaml"]
  options.overwrite = true
  let input = "../../fixtures/models/llama-base/model.safetensors"
  guard let conversion = try? Conversion(input, to: folder.path + "/out.safetensors", options: options),
    conversion.byteCount <= 4 << 20
  else { return 0 }
  _ = try? conversion.write { _, _ in }
  return 0
}
