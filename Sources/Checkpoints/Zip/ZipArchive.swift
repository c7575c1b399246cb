internal import Tensors

/// The members of a zip archive, stored or deflated, zip64 included: headers are read, data is mapped and not touched.
///
/// Names are texts, never paths. Members must not overlap; the directory must stand right before the end record, which
/// ends the file. Source: PKWARE APPNOTE 6.3.10.
struct ZipArchive {
  /// A file in the archive.
  struct Member: Sendable {
    let name: String
    let isDeflated: Bool
    let crc: UInt32
    /// The bytes that the member unpacks to.
    let byteCount: Int
    /// The bytes as they lie in the archive.
    fileprivate(set) var packed: Bytes
    fileprivate let headerOffset: Int
    fileprivate let packedByteCount: Int
    fileprivate let hasDescriptor: Bool
  }

  /// Members of an archive.
  static let maximumMemberCount = 1_000_000
  /// Bytes of the directory.
  static let maximumDirectoryByteCount = 1 << 30
  /// Bytes of a name.
  static let maximumNameByteCount = 4096
  /// No deflate stream unpacks to more than 1032 times its size.
  private static let maximumRatio = 1032

  private(set) var members: [Member]

  init(_ file: InputFile) throws {
    let end = try EndRecord(file)
    var reader = ByteReader(
      try file.read(at: end.directoryOffset, count: end.directoryByteCount), origin: end.directoryOffset)
    members = []
    for _ in 0..<end.memberCount { members.append(try Member(&reader)) }
    guard reader.isAtEnd else {
      throw BessemerError(.header, "\(reader.remaining) bytes after the last entry of the zip directory")
    }
    let mapped = try file.map()
    var free = 0
    for index in members.indices.sorted(by: { members[$0].headerOffset < members[$1].headerOffset }) {
      let start = members[index].headerOffset
      guard start >= free else {
        throw BessemerError(.tensorLayout, "zip member \(quoted(members[index].name)) overlaps the one before it")
      }
      let data = try members[index].dataOffset(file)
      guard let next = CheckedSize.sum(data, members[index].packedByteCount), next <= end.directoryOffset else {
        throw BessemerError(.truncated, "zip member \(quoted(members[index].name)) passes the directory")
      }
      members[index].packed = mapped[data..<next]
      free = next
    }
  }
}

extension ZipArchive.Member {
  /// Reads an entry of the directory.
  fileprivate init(_ reader: inout ByteReader) throws {
    let start = reader.byteOffset
    func number(_ what: String) throws -> Int { Int(try reader.integer(UInt32.self, what)) }
    func short(_ what: String) throws -> Int { Int(try reader.integer(UInt16.self, what)) }
    guard try number("a signature") == 0x0201_4B50 else {
      throw BessemerError(.header, "no entry of the zip directory at byte \(start)")
    }
    try reader.skip(4, "versions")
    let flags = try short("flags")
    let method = try short("a method")
    try reader.skip(4, "a time")
    crc = try reader.integer(UInt32.self, "a checksum")
    var sizes = [try number("a packed size"), try number("a size")]
    let nameByteCount = try short("the length of a name")
    let extraByteCount = try short("the length of extra fields")
    let commentByteCount = try short("the length of a comment")
    let disk = try short("a disk number")
    try reader.skip(6, "attributes")
    var offset = try number("an offset")
    guard nameByteCount <= ZipArchive.maximumNameByteCount else {
      throw BessemerError(.limit, "zip member name of \(nameByteCount) bytes at byte \(start)")
    }
    let rawName = try reader.take(nameByteCount, "a name")
    guard let text = rawName.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }),
      flags & 0x800 != 0 || text.utf8.allSatisfy({ $0 < 0x80 })
    else { throw BessemerError(.header, "zip member name at byte \(start) is not UTF-8, or not said to be") }
    guard !text.utf8.contains(0) else {
      throw BessemerError(.header, "zip member name at byte \(start) contains a NUL byte")
    }
    name = text
    var extra = try reader.window(count: extraByteCount, "extra fields")
    try reader.skip(commentByteCount, "a comment")
    while extra.remaining >= 4 {
      let kind = try extra.integer(UInt16.self, "an extra field")
      var field = try extra.window(count: Int(extra.integer(UInt16.self, "an extra field")), "an extra field")
      guard kind == 1 else { continue }
      // Present are only the numbers that do not fit where they belong: size, packed size, offset.
      if sizes[1] == 0xFFFF_FFFF { sizes[1] = try wide(&field) }
      if sizes[0] == 0xFFFF_FFFF { sizes[0] = try wide(&field) }
      if offset == 0xFFFF_FFFF { offset = try wide(&field) }
    }
    guard flags & 0x2041 == 0 else {
      throw BessemerError(.unsupportedFeature, "zip member \(quoted(text)) is encrypted")
    }
    guard method == 0 || method == 8 else {
      throw BessemerError(
        .unsupportedFeature, "zip member \(quoted(text)) is packed by method \(method); expected stored or deflated")
    }
    guard disk == 0 else { throw BessemerError(.unsupportedFeature, "the zip archive has several parts") }
    guard method == 8 || sizes[0] == sizes[1] else {
      throw BessemerError(.header, "stored zip member \(quoted(text)) of \(sizes[1]) bytes takes \(sizes[0])")
    }
    guard method == 0 || sizes[1] / ZipArchive.maximumRatio <= sizes[0] else {
      throw BessemerError(
        .header, "zip member \(quoted(text)) cannot unpack from \(sizes[0]) bytes to \(sizes[1])")
    }
    isDeflated = method == 8
    (packedByteCount, byteCount) = (sizes[0], sizes[1])
    headerOffset = offset
    hasDescriptor = flags & 8 != 0
    packed = Bytes([])
  }

  /// Where the data starts, behind a header that must say what the directory says.
  fileprivate func dataOffset(_ file: InputFile) throws -> Int {
    var reader = ByteReader(try file.read(at: headerOffset, count: 30), origin: headerOffset)
    func refuse(_ what: String) -> BessemerError {
      BessemerError(.header, "zip member \(quoted(name)) at byte \(headerOffset) \(what)")
    }
    guard try reader.integer(UInt32.self, "a signature") == 0x0403_4B50 else { throw refuse("has no header") }
    try reader.skip(4, "flags")
    guard try reader.integer(UInt16.self, "a method") == (isDeflated ? 8 : 0) else { throw refuse("differs in method") }
    try reader.skip(4, "a time")
    let ownCRC = try reader.integer(UInt32.self, "a checksum")
    guard hasDescriptor || ownCRC == crc else { throw refuse("differs in its checksum") }
    for expected in [packedByteCount, byteCount] {
      let size = Int(try reader.integer(UInt32.self, "a size"))
      guard hasDescriptor || size == expected || size == 0xFFFF_FFFF else { throw refuse("differs in size") }
    }
    let nameByteCount = Int(try reader.integer(UInt16.self, "the length of a name"))
    let extraByteCount = Int(try reader.integer(UInt16.self, "the length of extra fields"))
    guard nameByteCount == name.utf8.count,
      try file.read(at: headerOffset + 30, count: nameByteCount).array.elementsEqual(name.utf8)
    else { throw refuse("differs in name") }
    return headerOffset + 30 + nameByteCount + extraByteCount
  }

  /// The bytes of the member, unpacked, at most 1 MB at a time or as windows of the file; the checksum is verified
  /// before the last piece of packed data, and before the first of stored data.
  func forEachPiece(_ body: (Bytes) throws -> Void) throws {
    guard isDeflated else { return try body(stored()) }
    var sum = CRC32()
    var done = 0
    try Inflate.forEachPiece(of: packed, byteCount: byteCount) { piece in
      sum.update(piece)
      done += piece.count
      if done == byteCount { try check(sum) }
      try body(Bytes(piece))
      return true
    }
    try check(sum)
  }

  /// The bytes of a member that is not packed, with the checksum verified.
  func stored() throws -> Bytes {
    precondition(!isDeflated, "the member is packed")
    var sum = CRC32()
    try sum.update(packed)
    try check(sum)
    return packed
  }

  /// The bytes of the member in one piece: a window of the file, or memory of its own.
  func whole() throws -> Bytes {
    guard isDeflated else { return try stored() }
    return try Bytes(byteCount: byteCount) { target in
      var position = 0
      try forEachPiece { piece in
        piece.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: $0) }
        position += piece.count
      }
    }
  }

  private func check(_ sum: CRC32) throws {
    guard sum.value == crc else {
      throw BessemerError(.digest, "zip member \(quoted(name)) does not have the checksum that the archive says")
    }
  }

  /// The first bytes of the member, unpacked: `count`, or all when there are fewer. The checksum is not verified.
  func prefix(_ count: Int) throws -> Bytes {
    let count = min(count, byteCount)
    guard isDeflated else { return Bytes(packed[0..<count].array) }
    var start: [UInt8] = []
    try Inflate.forEachPiece(of: packed, byteCount: byteCount) { piece in
      start += piece.prefix(count - start.count)
      return start.count < count
    }
    return Bytes(start)
  }
}

/// A number of 64 bits that must be a size.
private func wide(_ reader: inout ByteReader) throws -> Int {
  let number = try reader.integer(UInt64.self, "a zip64 number")
  guard number <= UInt64(Int.max) else { throw BessemerError(.header, "zip64 number \(number) is beyond 2^63") }
  return Int(number)
}

/// The record at the end of an archive, with that of zip64.
private struct EndRecord {
  var memberCount: Int
  var directoryByteCount: Int
  var directoryOffset: Int

  init(_ file: InputFile) throws {
    let (start, record) = try EndRecord.find(file)
    var reader = ByteReader(record, origin: start)
    try reader.skip(4, "a signature")
    let disks = [try reader.integer(UInt16.self, "a disk number"), try reader.integer(UInt16.self, "a disk number")]
    let counts = [Int(try reader.integer(UInt16.self, "a count")), Int(try reader.integer(UInt16.self, "a count"))]
    memberCount = counts[1]
    directoryByteCount = Int(try reader.integer(UInt32.self, "a size"))
    directoryOffset = Int(try reader.integer(UInt32.self, "an offset"))
    var end = start
    let short = (memberCount, directoryByteCount, directoryOffset)
    let isWide = short.0 == 0xFFFF || short.1 == 0xFFFF_FFFF || short.2 == 0xFFFF_FFFF
    if try isWide || EndRecord.hasLocator(file, before: start) {
      end = try readZip64(file, before: start)
      // What fits into the short record stands there too.
      guard short.0 == 0xFFFF || short.0 == memberCount, short.1 == 0xFFFF_FFFF || short.1 == directoryByteCount,
        short.2 == 0xFFFF_FFFF || short.2 == directoryOffset
      else { throw BessemerError(.header, "the two end records of the zip archive differ") }
    } else {
      guard disks == [0, 0], counts[0] == counts[1] else {
        throw BessemerError(.unsupportedFeature, "the zip archive has several parts")
      }
    }
    guard memberCount <= ZipArchive.maximumMemberCount, directoryByteCount <= ZipArchive.maximumDirectoryByteCount
    else { throw BessemerError(.limit, "a zip directory of \(memberCount) members, \(directoryByteCount) bytes") }
    guard CheckedSize.sum(directoryOffset, directoryByteCount) == end, memberCount <= directoryByteCount / 46 else {
      throw BessemerError(
        .header,
        "the zip directory of \(memberCount) members at byte \(directoryOffset), \(directoryByteCount) bytes,"
          + " does not end at byte \(end)")
    }
  }

  /// Whether a zip64 record is announced right before the end record, as some writers do without need.
  private static func hasLocator(_ file: InputFile, before start: Int) throws -> Bool {
    guard start >= 76 else { return false }
    return try file.read(at: start - 20, count: 4).array == [0x50, 0x4B, 6, 7]
  }

  /// Replaces the numbers by those of the zip64 record; returns where that starts.
  private mutating func readZip64(_ file: InputFile, before start: Int) throws -> Int {
    guard start >= 76 else { throw BessemerError(.header, "the zip64 record is missing") }
    var locator = ByteReader(try file.read(at: start - 20, count: 20), origin: start - 20)
    guard try locator.integer(UInt32.self, "a signature") == 0x0706_4B50 else {
      throw BessemerError(.header, "no zip64 locator at byte \(start - 20)")
    }
    try locator.skip(4, "a disk number")
    let offset = try wide(&locator)
    guard CheckedSize.sum(offset, 56) == start - 20 else {
      throw BessemerError(.header, "the zip64 record at byte \(offset) does not end at byte \(start - 20)")
    }
    var record = ByteReader(try file.read(at: offset, count: 56), origin: offset)
    guard try record.integer(UInt32.self, "a signature") == 0x0606_4B50, try wide(&record) == 44 else {
      throw BessemerError(.header, "no zip64 record at byte \(offset)")
    }
    try record.skip(12, "versions and disk numbers")
    let ownCount = try wide(&record)
    memberCount = try wide(&record)
    guard ownCount == memberCount else {
      throw BessemerError(.unsupportedFeature, "the zip archive has several parts")
    }
    directoryByteCount = try wide(&record)
    directoryOffset = try wide(&record)
    return offset
  }

  /// The last record whose comment ends with the file.
  private static func find(_ file: InputFile) throws -> (Int, Bytes) {
    let count = min(file.byteCount, 22 + 0xFFFF)
    let tail = try file.read(at: file.byteCount - count, count: count)
    let bytes = tail.array
    var at = count - 22
    while at >= 0 {
      if bytes[at] == 0x50, bytes[at + 1] == 0x4B, bytes[at + 2] == 5, bytes[at + 3] == 6,
        Int(bytes[at + 20]) | Int(bytes[at + 21]) << 8 == count - 22 - at
      {
        return (file.byteCount - count + at, tail[at..<(at + 22)])
      }
      at -= 1
    }
    throw BessemerError(.truncated, "truncated: the end record of the zip archive is missing")
  }
}
