import Converter
import FuzzSupport
import Tensors

@_cdecl("FuzzConfiguration_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder: Folder = {
  let folder = Folder()
  folder.copy("../../fixtures/models/llama-base/model.safetensors")
  return folder
}()

/// Builds the graph of a small model whose config.json is the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  folder.put("config.json", Array(UnsafeBufferPointer(start: start, count: count)))
  do { _ = try LoadedModel(path: folder.path) } catch {
    precondition("\(error)".utf8.count < 1 << 16, "a long error")
  }
  return 0
}
