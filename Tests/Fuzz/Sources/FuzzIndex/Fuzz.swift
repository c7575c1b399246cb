import FuzzSupport
import Safetensors
import Tensors

@_cdecl("FuzzIndex_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

/// Makes a folder of the bytes and reads it: an index, a zero byte (which no index contains), then the content of the
/// shard `a.safetensors`; `b.safetensors` is always a good one with the tensor `b`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = UnsafeBufferPointer(start: start, count: count)
  let end = bytes.firstIndex(of: 0) ?? count
  folder.put("model.safetensors.index.json", Array(bytes[..<end]))
  folder.put("a.safetensors", Array(bytes[min(end + 1, count)...]))
  for path in [folder.path, folder.path + "/model.safetensors.index.json"] {
    guard let store = try? SafetensorsCheckpoint.read(path) else { continue }
    for entry in store.entries {
      precondition(
        [folder.path + "/a.safetensors", folder.path + "/b.safetensors"].contains(entry.file), "read \(entry.file)")
      precondition((try? entry.tensor()) != nil, "a tensor cannot be read")
    }
  }
  return 0
}

private let folder: Folder = {
  let folder = Folder()
  let header = "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
  folder.put("b.safetensors", [UInt8(header.utf8.count)] + [UInt8](repeating: 0, count: 7) + Array(header.utf8) + [7])
  return folder
}()
