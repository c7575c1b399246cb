import FuzzSupport
import Tensors
import Tokenizers

@_cdecl("FuzzTemplate_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let messages = try? JSON.parse(
  Bytes(
    Array(
      """
      [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi <b>"}]},
       {"role": "assistant", "content": "Yes.", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5}}}]}]
      """.utf8)))
private let tools = try? JSON.parse(Bytes(Array("[{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]".utf8)))

/// Reads the input as a chat template and renders a conversation by it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let source = String(validating: UnsafeBufferPointer(start: start, count: count), as: UTF8.self),
    let template = try? ChatTemplate(source), let messages
  else { return 0 }
  let tokens = ["bos_token": "<s>", "eos_token": "</s>"]
  let now = TemplateDate(year: 2024, month: 2, day: 29)
  _ = try? template.render(messages, tools: tools, tokens: tokens, now: now)
  return 0
}
