import Checkpoints
import FuzzSupport

@_cdecl("FuzzMindSpore_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

/// With the key of the encrypted fixtures.
private let format: MindSporeCheckpoint = {
  var options = ReadOptions()
  options.key = try? CipherKey(text: Array("sixteen letters!".utf8))
  options.isKeyOptional = true
  return MindSporeCheckpoint().reading(with: options)
}()

/// Reads the input as a file of the format, plain or encrypted.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt { fuzz(format, in: folder, start, count) }
