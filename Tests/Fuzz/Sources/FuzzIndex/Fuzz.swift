import Glibc
import Safetensors
import Tensors

/// The symbol that SwiftPM takes for `main`: hands over to libFuzzer.
@_cdecl("FuzzIndex_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt {
  var (count, arguments) = (count, arguments)
  return runDriver(&count, &arguments, fuzzOne)
}

public typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>,
  _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Makes a folder of the bytes and reads it: an index, a zero byte (which no index contains), then the content of the
/// shard `a.safetensors`; `b.safetensors` is always a good one with the tensor `b`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = UnsafeBufferPointer(start: start, count: count)
  let end = bytes.firstIndex(of: 0) ?? count
  put("model.safetensors.index.json", Array(bytes[..<end]))
  put("a.safetensors", Array(bytes[min(end + 1, count)...]))
  for path in [folder, folder + "/model.safetensors.index.json"] {
    guard let store = try? SafetensorsCheckpoint.read(path) else { continue }
    for entry in store.entries {
      precondition([folder + "/a.safetensors", folder + "/b.safetensors"].contains(entry.file), "read \(entry.file)")
      precondition((try? entry.tensor()) != nil, "a tensor cannot be read")
    }
  }
  return 0
}

private let folder: String = {
  var template = Array("/dev/shm/bessemer-fuzz-XXXXXX".utf8CString)
  guard let path = template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap { mkdtemp($0) } }) else {
    fatalError("no folder to work in")
  }
  let folder = String(cString: path)
  let header = "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
  let shard = [UInt8(header.utf8.count)] + [UInt8](repeating: 0, count: 7) + Array(header.utf8) + [7]
  put("b.safetensors", shard, in: folder)
  return folder
}()

private func put(_ name: String, _ bytes: [UInt8], in place: String? = nil) {
  let file = open((place ?? folder) + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  precondition(file >= 0 && write(file, bytes, bytes.count) == bytes.count, "cannot write \(name)")
  close(file)
}
