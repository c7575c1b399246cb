import FuzzSupport
import Images
import Tensors

@_cdecl("FuzzPNG_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Reads the input as a picture, and writes and reads again what it shows.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let picture = try? RGBImage(png: Bytes(UnsafeBufferPointer(start: start, count: count))),
    picture.pixels.count < 1 << 20
  else { return 0 }
  guard let bytes = try? picture.png(), let again = try? RGBImage(png: Bytes(bytes)), again == picture else {
    preconditionFailure("the picture is another after it was written")
  }
  return 0
}
