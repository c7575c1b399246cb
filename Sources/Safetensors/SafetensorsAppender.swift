package import Tensors

/// Writes a safetensors file whose tensors become known one after the other, without holding them: room for the header
/// is kept in front of them and filled at the end, the rest of it with spaces.
package final class SafetensorsAppender {
  private let writer: AtomicWriter
  private let room: Int
  private var entries: [SafetensorsHeader.Entry] = []
  private var names: Set<TensorName> = []

  /// - Parameter room: bytes for the header.
  package init(_ path: String, overwrite: Bool, room: Int) throws {
    writer = try AtomicWriter(path: path, overwrite: overwrite)
    self.room = (room + 7) / 8 * 8
    guard self.room <= SafetensorsHeader.maxTextByteCount else { throw SafetensorsAppender.tooMany(path) }
    let spaces = [UInt8](repeating: UInt8(ascii: " "), count: 1 << 16)
    for start in stride(from: 0, to: 8 + self.room, by: spaces.count) {
      try writer.write(Array(spaces.prefix(8 + self.room - start)))
    }
  }

  package func contains(_ name: TensorName) -> Bool { names.contains(name) }

  /// Writes a tensor of a type that the format has, under a new name.
  package func append(_ name: TensorName, _ tensor: Tensor) throws {
    guard names.insert(name).inserted else {
      throw BessemerError(.duplicateName, "tensor \(quoted(name.string)) occurs twice")
    }
    let start = writer.position - 8 - room
    try writer.write(tensor.bytes)
    entries.append(
      SafetensorsHeader.Entry(
        name, tensor.dtype, shape: tensor.shape, range: start..<start + tensor.bytes.count))
  }

  /// Completes the file and puts it in place.
  package func commit(metadata: [TensorName: String]) throws {
    let header = try SafetensorsHeader(
      entries, metadata: metadata, dataByteCount: writer.position - 8 - room)
    let text = header.text(alignment: 8)
    guard text.count <= room else { throw SafetensorsAppender.tooMany(writer.path) }
    try writer.replace(Bytes((0..<8).map { UInt8(truncatingIfNeeded: room >> ($0 * 8)) } + text), at: 0)
    try writer.commit()
  }

  private static func tooMany(_ path: String) -> BessemerError {
    BessemerError(.limit, "there are too many tensors for the header of one file", file: path)
  }
}
