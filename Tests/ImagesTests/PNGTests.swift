import TestSupport
import Tensors
import Testing

@testable import Images

@Suite struct PNGTests {
  static let names = Fixtures.names("pictures", suffix: ".png")

  private static func picture(_ name: String) throws -> RGBImage {
    try RGBImage(png: Bytes(Fixtures.bytes("pictures/" + name)))
  }

  @Test(arguments: names) func readsEveryKind(_ name: String) throws {
    let expected = try Fixtures.json("pictures/expected.json").required(name)
    let picture = try PNGTests.picture(name)
    #expect(picture.width == (try expected.required("width").asInt()))
    #expect(picture.height == (try expected.required("height").asInt()))
    #expect(try picture.pixels.map { Int($0) } == expected.required("pixels").asArray().map { try $0.asInt() })
  }

  @Test func thereArePictures() { #expect(PNGTests.names.count == 30) }

  @Test(arguments: [(1, 1), (7, 3), (300, 5)]) func writesWhatItReads(_ width: Int, _ height: Int) throws {
    var random = SplitMix64(seed: UInt64(width))
    let pixels = (0..<3 * width * height).map { _ in UInt8.random(in: 0...255, using: &random) }
    let picture = try RGBImage(width: width, height: height, pixels: pixels)
    let bytes = try picture.png()
    #expect(try RGBImage(png: Bytes(bytes)) == picture)
    #expect(try picture.png() == bytes)
    let scratch = Scratch()
    try picture.write(pngTo: scratch("a.png"), overwrite: false)
    #expect(try RGBImage(pngAt: scratch("a.png")) == picture)
    #expect(code { try picture.write(pngTo: scratch("a.png"), overwrite: false) } == .outputExists)
    try picture.write(pngTo: scratch("a.png"), overwrite: true)
    #expect(code { try picture.write(pngTo: scratch("none/a.png"), overwrite: false) } != nil)
    #expect(Scratch.names(scratch.path) == ["a.png"])
  }

  /// Every file cut short, and every byte changed, gives a picture of the same size or a typed error.
  @Test(arguments: ["palette4-interlaced.png", "rgb8.png", "rgba16.png"]) func survivesDamage(_ name: String) throws {
    let good = try Fixtures.bytes("pictures/" + name)
    for count in 0..<good.count {
      let found = code { _ = try RGBImage(png: Bytes(good.prefix(count))) }
      #expect(found == (count < 24 ? .wrongFormat : .image), "\(count) bytes")
    }
    for place in good.indices {
      for change in [UInt8(1), 0x80, 0xFF] {
        var bytes = good
        bytes[place] ^= change
        let found = code { _ = try RGBImage(png: Bytes(bytes)) }
        #expect([nil, .wrongFormat, .image, .limit].contains(found), "byte \(place): \(found!)")
      }
    }
  }

  /// Sizes that the bytes cannot hold are refused before anything is allocated.
  @Test func refusesSizesThatLie() throws {
    let good = try Fixtures.bytes("pictures/rgb8.png")
    func sized(_ width: UInt32, _ height: UInt32) -> Bytes {
      var bytes = good
      for (k, value) in [width, height].enumerated() {
        for i in 0..<4 { bytes[16 + 4 * k + i] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * i)) }
      }
      return Bytes(bytes)
    }
    for (width, height, expected) in [
      (0, 3, ErrorCode.limit), (5, 0, .limit), (.max, .max, .limit), (1 << 16, 1 << 11, .limit),
      (8192, 8192, .image), (6, 3, .image),
    ] as [(UInt32, UInt32, ErrorCode)] {
      #expect(code { _ = try RGBImage(png: sized(width, height)) } == expected, "\(width) × \(height)")
    }
    let scratch = Scratch()
    try Scratch.put(scratch("text.png"), Array("no picture at all, but long enough".utf8))
    #expect(code { _ = try RGBImage(pngAt: scratch("text.png")) } == .wrongFormat)
    #expect(code { _ = try RGBImage(pngAt: scratch("none.png")) } == .fileMissing)
  }
}
