internal import Tensors

/// Lays out a zip archive of stored members whose data starts at multiples of 64 bytes, and writes it in one go.
///
/// Checksums stand behind the data and in the directory, as they are known only then. Times are those of 1980, as NumPy
/// has them, so that the same content gives the same bytes.
struct ZipWriter {
  /// A member: its name and size, and where its header stands.
  private struct Member {
    let name: [UInt8]
    let byteCount: Int
    let offset: Int
    let header: [UInt8]

    var isWide: Bool { byteCount >= 0xFFFF_FFFF }
    var isASCII: Bool { name.allSatisfy { $0 < 0x80 } }
    /// Checksums and sizes follow the data; the name is UTF-8.
    var flags: Int { 8 | (isASCII ? 0 : 0x800) }
    var descriptorByteCount: Int { isWide ? 24 : 16 }
  }

  private var members: [Member] = []
  private var end = 0

  /// Adds a member of `byteCount` bytes; throws ``ErrorCode/limit`` when the archive gets too large.
  mutating func add(_ name: String, byteCount: Int) throws {
    let name = Array(name.utf8)
    let wide = Member(name: name, byteCount: byteCount, offset: 0, header: [])
    var extra = wide.isWide ? little(1, 2) + little(16, 2) + little(0, 16) : []
    // A field that readers skip moves the data to a multiple of 64.
    let padding = (64 - (end + 30 + name.count + extra.count + 4) % 64) % 64
    extra += little(0xBE55, 2) + little(padding, 2) + [UInt8](repeating: 0, count: padding)
    let size = wide.isWide ? 0xFFFF_FFFF : 0
    var header = little(0x0403_4B50, 4) + little(wide.isWide ? 45 : 20, 2) + little(wide.flags, 2)
    header += little(0, 2) + ZipWriter.time + little(0, 4) + little(size, 4) + little(size, 4)
    header += little(name.count, 2) + little(extra.count, 2) + name + extra
    let member = Member(name: name, byteCount: byteCount, offset: end, header: header)
    guard
      let next = CheckedSize.sum(end, header.count + member.descriptorByteCount)
        .flatMap({ CheckedSize.sum($0, byteCount) })
    else { throw BessemerError(.limit, "the archive takes more than 2^63 bytes") }
    members.append(member)
    end = next
  }

  /// The size of the archive.
  var byteCount: Int { end + tail([UInt32](repeating: 0, count: members.count)).count }

  /// Writes the archive; `body` writes the data of a member.
  func write(to sink: any ByteSink, _ body: (_ index: Int, _ sink: any ByteSink) throws -> Void) throws {
    var sums: [UInt32] = []
    for (index, member) in members.enumerated() {
      try Interrupt.check()
      try sink.write(member.header)
      let data = ChecksumSink(sink)
      try body(index, data)
      sums.append(data.crc.value)
      let size = little(member.byteCount, member.isWide ? 8 : 4)
      try sink.write(little(0x0807_4B50, 4) + little(Int(data.crc.value), 4) + size + size)
    }
    try sink.write(tail(sums))
  }

  /// Midnight of the first of January 1980.
  private static let time: [UInt8] = [0, 0, 0x21, 0]

  /// The directory and the end records.
  private func tail(_ sums: [UInt32]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (member, sum) in zip(members, sums) {
      let isFar = member.offset >= 0xFFFF_FFFF
      var wide = member.isWide ? little(member.byteCount, 8) + little(member.byteCount, 8) : []
      if isFar { wide += little(member.offset, 8) }
      let extra = wide.isEmpty ? [] : little(1, 2) + little(wide.count, 2) + wide
      let version = extra.isEmpty ? 20 : 45
      let size = little(min(member.byteCount, 0xFFFF_FFFF), 4)
      bytes += little(0x0201_4B50, 4) + little(3 << 8 | version, 2) + little(version, 2) + little(member.flags, 2)
      bytes += little(0, 2) + ZipWriter.time + little(Int(sum), 4) + size + size
      bytes += little(member.name.count, 2) + little(extra.count, 2) + little(0, 6) + little(0o600 << 16, 4)
      bytes += little(min(member.offset, 0xFFFF_FFFF), 4) + member.name + extra
    }
    let count = bytes.count
    if members.count >= 0xFFFF || end >= 0xFFFF_FFFF || count >= 0xFFFF_FFFF {
      bytes += little(0x0606_4B50, 4) + little(44, 8) + little(3 << 8 | 45, 2) + little(45, 2) + little(0, 8)
      bytes += little(members.count, 8) + little(members.count, 8) + little(count, 8) + little(end, 8)
      bytes += little(0x0706_4B50, 4) + little(0, 4) + little(end + count, 8) + little(1, 4)
    }
    let number = little(min(members.count, 0xFFFF), 2)
    bytes += little(0x0605_4B50, 4) + little(0, 4) + number + number
    return bytes + little(min(count, 0xFFFF_FFFF), 4) + little(min(end, 0xFFFF_FFFF), 4) + little(0, 2)
  }
}

/// A number in `count` bytes, the lowest first.
private func little(_ number: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { $0 < 8 ? UInt8(truncatingIfNeeded: number >> ($0 * 8)) : 0 }
}
