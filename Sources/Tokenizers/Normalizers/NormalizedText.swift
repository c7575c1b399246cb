/// A text while it is normalized, with the part of the original that its beginning stands for.
struct NormalizedText: Sendable {
  var bytes: [UInt8]
  /// How many bytes at the front stand for the first character of the original; see ``PieceBuffer``.
  var originByteCount: Int

  /// Replaces each scalar by what `body` appends for it.
  mutating func mapScalars(_ body: (UInt32, Range<Int>, inout [UInt8]) -> Void) {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count + bytes.count / 8)
    var origin = 0
    UTF8Text.forEach(bytes.span) { scalar, place in
      body(scalar, place, &out)
      if place.lowerBound < originByteCount { origin = out.count }
    }
    bytes = out
    originByteCount = origin
  }

  /// Keeps the scalars for which `keeps` holds.
  mutating func filterScalars(_ keeps: (UInt32) -> Bool) {
    mapScalars { scalar, _, out in
      if keeps(scalar) { UTF8Text.append(scalar, to: &out) }
    }
  }

  /// Whether all bytes are ASCII.
  var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }
}
