import IR
import Images
import TestSupport
import Tensors
import Testing

@testable import Runtime

@Suite struct GlmImagePartsTests {
  private func code(_ body: () throws -> Void) -> ErrorCode? {
    do { try body() } catch { return (error as? BessemerError)?.code }
    return nil
  }

  // MARK: Pictures

  @Test(arguments: [
    (0, 3, 0), (3, 0, 0), (-1, 3, 3), (2, 2, 11), (2, 2, 13), (Int.max, Int.max, 3), (1 << 20, 1 << 20, 0),
  ])
  func picturesThatCannotBeAreRefused(_ width: Int, _ height: Int, _ count: Int) {
    let pixels = [UInt8](repeating: 0, count: count)
    #expect(code { _ = try RGBImage(width: width, height: height, pixels: pixels) } == .modelInput)
  }

  @Test(arguments: [ResamplingFilter.bicubic, .lanczos])
  func evenPicturesStayEven(_ filter: ResamplingFilter) throws {
    for level in [UInt8(0), 1, 127, 255] {
      let image = try RGBImage(width: 7, height: 5, pixels: [UInt8](repeating: level, count: 105))
      for (width, height) in [(1, 1), (3, 9), (200, 1), (7, 5)] {
        let resized = try image.resized(width: width, height: height, filter: filter)
        #expect(
          resized
            == (try RGBImage(width: width, height: height, pixels: Array(repeating: level, count: 3 * width * height))))
      }
    }
    let image = try RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    for (width, height) in [(0, 1), (1, -1), (Int.max, 2), (1 << 20, 1 << 20)] {
      #expect(code { _ = try image.resized(width: width, height: height, filter: filter) } == .modelInput)
    }
  }

  @Test(arguments: [
    ("{\"patch_size\": 0}", ErrorCode.json), ("{\"patch_size\": 2000}", .config), ("{\"patch_size\": 1e30}", .json),
    ("{\"patch_size\": 16}", .unsupportedFeature),
    ("{\"merge_size\": 2, \"temporal_patch_size\": 1}", .unsupportedFeature),
    ("{STEPS, \"do_resize\": false}", .unsupportedFeature), ("{STEPS, \"resample\": 2}", .unsupportedFeature),
    ("{STEPS, \"rescale_factor\": 1}", .unsupportedFeature), ("{STEPS, \"image_mean\": [1, 2]}", .config),
    ("{STEPS, \"image_std\": [1, 0, 1]}", .config), ("{STEPS, \"image_std\": 3}", .json),
    ("{STEPS, \"size\": {\"shortest_edge\": -4}}", .json), ("{STEPS, \"size\": []}", .json),
    ("{STEPS, \"max_pixels\": 9223372036854775807}", .json), ("[]", .json),
  ])
  func processorsThatCannotBeAreRefused(_ text: String, _ expected: ErrorCode) {
    let steps = "\"merge_size\": 1, \"temporal_patch_size\": 1"
    let whole = text.split(separator: "STEPS", omittingEmptySubsequences: false).joined(separator: steps)
    #expect(code { _ = try GlmImageProcessor(json: JSON.parse(whole)) } == expected)
  }

  @Test func picturesOfOddShapesAreRefused() throws {
    let processor = try GlmImageProcessor(
      json: JSON.parse(#"{"image_processor": {"patch_size": 16, "merge_size": 1, "temporal_patch_size": 1}}"#))
    #expect(processor.shortestSide == 56 && processor.longestSide == 1002)
    for (height, width) in [(15, 20), (20, 15), (16, 65), (1001, 250), (0, 0), (-3, 5)] {
      #expect(code { _ = try processor.size(height: height, width: width) } == .modelInput, "\(height) × \(width)")
    }
    _ = try processor.size(height: 16, width: 64)
  }

  // MARK: Grids and positions

  @Test func gridsFollowThePicture() throws {
    let square = try TargetGrids(height: 1024, width: 1024, isEdit: false)
    #expect(square.target == (try VisualGrid(height: 32, width: 32)))
    #expect(square.preview == (try VisualGrid(height: 16, width: 16)))
    #expect(square.count == 1280)
    #expect(square.targetTokens(Array(0..<1281)) == Array(256..<1280))
    let edit = try TargetGrids(height: 768, width: 1152, isEdit: true)
    #expect(edit.preview == nil && edit.count == 24 * 36)
    #expect(
      try VisualGrid(height: 2, width: 2).doubled([1, 2, 3, 4]) == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
    for (height, width) in [(0, 32), (32, -32), (48, 32), (32, 33), (1 << 40, 32), (32 * 4096, 32)] {
      #expect(code { _ = try TargetGrids(height: height, width: width, isEdit: false) } == .modelInput)
    }
  }

  private func positions(_ ids: [Int32], _ sources: [(Int, Int)], _ targets: [(Int, Int)] = []) throws
    -> VisualPositions
  {
    let grids = { (list: [(Int, Int)]) in try list.map { try VisualGrid(height: $0.0, width: $0.1) } }
    return try VisualPositions(ids, sources: grids(sources), targets: grids(targets), start: 100, end: 101)
  }

  @Test func picturesTakeTheLongerSide() throws {
    // Two pictures, of two columns and of two rows, a text, and the beginning of a new picture.
    let result = try positions([100, 1, 2, 101, 100, 3, 4, 101, 7, 100], [(1, 2), (2, 1)], [(2, 2)])
    #expect(result.prompt.map(\.time) == [0, 1, 1, 3, 4, 5, 5, 7, 8, 9])
    #expect(result.prompt.map(\.row) == [0, 1, 1, 3, 4, 5, 6, 7, 8, 9])
    #expect(result.prompt.map(\.column) == [0, 1, 2, 3, 4, 5, 5, 7, 8, 9])
    #expect(result.generated.map(\.time) == [10, 10, 10, 10, 12])
    #expect(result.generated.map(\.row) == [10, 10, 11, 11, 12])
    #expect(result.generated.map(\.column) == [10, 11, 10, 11, 12])
    #expect(try positions([7, 8], []).prompt == [VisualPosition(0), VisualPosition(1)])
    #expect(try positions([], []).generated == [VisualPosition(0)])
  }

  @Test(
    arguments: [
      ([100, 1, 2, 101], [(1, 1)]), ([100, 1, 101], []), ([101, 1, 100], [(1, 1)]), ([1, 101], [(1, 1)]),
      ([100, 1], [(1, 1)]),
      ([100, 100, 1, 101, 1, 101], [(1, 2), (1, 1)]), ([100, 1, 101, 101, 100], [(1, 1), (1, 1)]),
    ] as [([Int32], [(Int, Int)])])
  func strayPicturesAreRefused(_ ids: [Int32], _ sources: [(Int, Int)]) {
    #expect(code { _ = try positions(ids, sources) } == .modelInput)
  }

  // MARK: Texts and choices

  @Test(arguments: [
    ("", []), ("no text", []), ("a 'b' c 'd", ["b"]), ("''", [""]), ("it's 'x'", ["s "]), ("“a“b”c”", ["b"]),
    ("”a“b”", ["b"]), ("\"a\nb\" 'c'", ["c", "a\nb"]), ("「一」“二”", ["二", "一"]),
    ("'e\u{301}' '\u{301}'", ["e\u{301}", "\u{301}"]),
    ("\"“q”\"", ["q", "“q”"]),
  ])
  func textsInQuotationMarksAreFound(_ prompt: String, _ expected: [String]) {
    #expect(GlyphEncoder.texts(in: prompt) == expected)
  }

  @Test func choicesAreReadAsTransformersDoes() throws {
    let plain = try VisualSampling(json: nil, seed: 4)
    #expect(plain.sampling.temperature == 1 && plain.sampling.topP == 1 && plain.sampling.topK == 50)
    #expect(plain.sampling.seed == 4 && plain.suppressed.isEmpty)
    let text = #"{"do_sample": true, "temperature": 0.9, "top_p": 0.75, "top_k": 0, "suppress_tokens": [3, 4]}"#
    let told = try VisualSampling(json: JSON.parse(text), seed: 0)
    #expect(told.sampling.temperature == 0.9 && told.sampling.topP == 0.75 && told.sampling.topK == 0)
    #expect(told.suppressed == [3, 4])
    #expect(
      try VisualSampling(json: JSON.parse(#"{"do_sample": false, "temperature": 2}"#), seed: 0).sampling.temperature
        == 0)
    for text in [#"{"temperature": -1}"#, #"{"top_p": -0.5}"#, #"{"top_k": -1}"#, #"{"suppress_tokens": [1.5]}"#] {
      #expect(throws: BessemerError.self) { try VisualSampling(json: JSON.parse(text), seed: 0) }
    }
  }

  @Test func onlyFittingModelsGenerateVisualTokens() throws {
    let vocabulary = try VisualVocabulary(
      config: JSON.parse(
        """
        {"image_token_id": 9, "image_start_token_id": 7, "image_end_token_id": 8, "vq_config": {"num_embeddings": 7}}
        """))
    #expect(vocabulary.codeCount == 7 && vocabulary.placeholder == 9)
    // One axis of positions, and no scores.
    for model in [TinyModel.llama, .bert] {
      let session = Session(try SessionTests.model(model))
      #expect(code { _ = try VisualTokenGenerator(session, vocabulary: vocabulary) } == .modelInput)
    }
  }
}
