import Checkpoints
import FuzzSupport
import Tensors

@_cdecl("FuzzStrategy_main")
public func start(_ count: CInt, _ arguments: Arguments) -> CInt { runFuzzer(count, arguments, fuzzOne) }

private let folder = Folder()

private let format: DistributedCheckpoint = {
  var options = ReadOptions()
  options.strategy = folder.path + "/strategy"
  return DistributedCheckpoint().reading(with: options)
}()

/// Merges the ranks of a fixture by the input as their strategy, and cuts the result by it again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  folder.put("strategy", Array(UnsafeBufferPointer(start: start, count: count)))
  guard let store = try? format.read("../../fixtures/mindspore/ranks/source") else { return 0 }
  for entry in store.entries {
    guard let tensor = try? entry.tensor() else { fatalError("\(entry.name) cannot be read") }
    precondition(tensor.bytes.count == entry.byteCount, "\(entry.name) has another size")
  }
  var options = WriteOptions()
  options.strategy = folder.path + "/strategy"
  guard let writer = try? options.applied(to: MindSporeCheckpoint()) else {
    fatalError("the strategy is not read again")
  }
  let entries = store.entries.map { CheckpointEntry($0) }
  // Stages may lay out a parameter that they share so that it cannot be cut.
  let output = folder.path + "/ranks"
  guard writer.problems(entries, metadata: [:]).isEmpty,
    (try? writer.write(entries, metadata: store.metadata, to: output, overwrite: true)) != nil
  else { return 0 }
  guard let again = try? format.read(output) else { fatalError("what was cut cannot be merged") }
  for entry in store.entries {
    let isSame = (try? again.tensor(entry.name)) == (try? entry.tensor())
    precondition(isSame, "\(entry.name) changed")
  }
  return 0
}
