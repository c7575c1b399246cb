import FuzzSupport
import Safetensors
import Tensors

@_cdecl("FuzzSafetensors_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Reads bytes as a safetensors file. Of what is accepted every tensor is read, and writing it again must keep all of
/// it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Bytes(UnsafeBufferPointer(start: start, count: count))
  guard let store = try? SafetensorsFile(bytes, path: "input").store() else { return 0 }
  do {
    for order in [SafetensorsWriter.Order.given, .aligned] {
      let sink = Memory()
      try SafetensorsWriter(store, order: order).write(to: sink)
      let again = try SafetensorsFile(Bytes(sink.content)).store()
      precondition(again.metadata == store.metadata && again.entries.count == store.entries.count)
      for entry in store.entries {
        let isSame = try again.tensor(entry.name) == entry.tensor()
        precondition(isSame, "a tensor changed")
      }
    }
  } catch { fatalError("what was read cannot be written: \(error)") }
  return 0
}

private final class Memory: ByteSink {
  var content: [UInt8] = []
  var position: Int { content.count }
  func write(_ bytes: UnsafeRawBufferPointer) { content.append(contentsOf: bytes) }
}
