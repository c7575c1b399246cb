import Checkpoints
import FuzzSupport

@_cdecl("FuzzNPY_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

/// Reads the input as a file of the format.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt { fuzz(NPYFile(), in: folder, start, count) }
