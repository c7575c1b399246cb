import FuzzSupport
import Tensors
import Tokenizers

@_cdecl("FuzzTokenizer_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let texts = ["The file takes 12 bytes, isn't it?\n\n  ok", "héllo wörld, 你好 \u{1F600} <s> [MASK]", ""]

/// Reads the input as a tokenizer.json, and encodes and decodes texts by it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Bytes(UnsafeBufferPointer(start: start, count: count))
  guard let json = try? JSON.parse(bytes), let tokenizer = try? Tokenizer(json: json) else { return 0 }
  for text in texts {
    guard let ids = try? tokenizer.encode(text) else { continue }
    _ = try? tokenizer.decode(ids)
    _ = try? tokenizer.encode(text, pair: "and", maxLength: 4)
  }
  return 0
}
