import FuzzSupport
import IR

@_cdecl("FuzzGraph_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Reads the input as a graph's text. What is accepted is printed and parsed again, which must give the same text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let text = String(validating: UnsafeBufferPointer(start: start, count: count), as: UTF8.self),
    let graph = try? Graph(text: text)
  else { return 0 }
  let printed = graph.text
  guard let again = try? Graph(text: printed) else { fatalError("own text is refused: \(printed)") }
  precondition(again.text == printed, "the text changes when it is read and printed")
  return 0
}
