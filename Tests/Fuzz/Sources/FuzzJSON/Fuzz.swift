import FuzzSupport
import Tensors

@_cdecl("FuzzJSON_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Parses bytes as JSON. What is accepted is walked, written and parsed again, which must give the same text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Bytes(UnsafeBufferPointer(start: start, count: count))
  guard let json = try? JSON.parse(bytes) else { return 0 }
  walk(json)
  for style in [JSONWriter.Style.compact, .pretty] {
    var first = JSONWriter(style)
    first.value(json)
    guard let again = try? JSON.parse(first.utf8) else { fatalError("own text is refused: \(first.text)") }
    var second = JSONWriter(style)
    second.value(again)
    precondition(first.utf8 == second.utf8, "the text changes when it is read and written")
  }
  return 0
}

/// Every accessor on every value, for a while.
private func walk(_ root: JSON) {
  var pending = [root]
  var count = 0
  while let json = pending.popLast(), count < 2000 {
    count += 1
    _ = (json.int, json.integralInt, json.uint64, json.double, json.bool, json.string, json.summary)
    if count < 20 { _ = json.path }
    pending.append(contentsOf: json.elements)
    for (key, value) in json.members {
      precondition(json[key]?.byteOffset == value.byteOffset, "a key is not found again")
      pending.append(value)
    }
  }
  _ = try? root.decode([String: [Int]].self)
  _ = try? root.decode([[Float]].self)
}
