import Converter
import FuzzSupport
import Tensors
import YAML

@_cdecl("FuzzMap_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

/// Reads the input as YAML, and plans a conversion by it as a map.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = UnsafeBufferPointer(start: start, count: count)
  guard let yaml = try? YAML.parse(Bytes(bytes)) else { return 0 }
  walk(yaml)
  folder.put("map.yaml", Array(bytes))
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

/// Every accessor on every value.
private func walk(_ yaml: YAML) {
  _ = (yaml.summary, try? yaml.asString(), try? yaml.asInt(), try? yaml.asBool(), try? yaml.asInts())
  for element in (try? yaml.asSequence()) ?? [] { walk(element) }
  for member in (try? yaml.asMapping()) ?? [] { walk(member.value) }
}
