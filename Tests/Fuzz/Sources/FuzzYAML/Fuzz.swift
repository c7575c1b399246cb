import FuzzSupport
import Tensors
import YAML

@_cdecl("FuzzYAML_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Parses bytes as YAML. What is accepted is walked; every value starts on a line of the text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Bytes(UnsafeBufferPointer(start: start, count: count))
  guard let root = try? YAML.parse(bytes) else { return 0 }
  var pending = [root]
  while let value = pending.popLast() {
    precondition(value.line >= 1 && value.line <= count + 2, "a line outside the text")
    _ = (try? value.asInt(), try? value.asBool(), try? value.asString(), value.summary)
    switch value.content {
    case .scalar: break
    case .sequence(let elements): pending += elements
    case .mapping(let members): pending += members.map(\.value)
    }
  }
  return 0
}
