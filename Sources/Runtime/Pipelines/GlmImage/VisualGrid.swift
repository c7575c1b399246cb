internal import Tensors

/// Rows and columns of visual tokens.
public struct VisualGrid: Sendable, Equatable {
  public let height: Int
  public let width: Int
  public var count: Int { height * width }

  /// No side has more.
  static let maximumSide = 1 << 12

  /// - Throws: ``ErrorCode/modelInput`` for a grid that is empty or too large.
  public init(height: Int, width: Int) throws {
    guard (1...VisualGrid.maximumSide).contains(height), (1...VisualGrid.maximumSide).contains(width) else {
      throw BessemerError(.modelInput, "a grid of \(height) × \(width) visual tokens is empty or too large")
    }
    self.height = height
    self.width = width
  }

  /// Each token twice in both directions: the finer grid that the image is made from.
  public func doubled(_ tokens: [Int64]) -> [Int64] {
    precondition(tokens.count == count, "the tokens are not those of the grid")
    return (0..<height).flatMap { row -> [Int64] in
      let line = tokens[row * width..<(row + 1) * width].flatMap { [$0, $0] }
      return line + line
    }
  }
}

/// The grids that are generated for a picture of some size.
public struct TargetGrids: Sendable, Equatable {
  /// The picture's own.
  public let target: VisualGrid
  /// A small one of about 256 tokens that is generated first and thrown away; none when pictures are edited.
  public let preview: VisualGrid?

  /// Pixels to a visual token, each way.
  public static let pixels = 32

  /// Visual tokens that are generated, those of the preview first.
  public var count: Int { (preview?.count ?? 0) + target.count }

  /// The picture's own among the `count` tokens that were generated.
  public func targetTokens(_ generated: [Int64]) -> [Int64] { Array(generated[(count - target.count)..<count]) }

  /// - Throws: ``ErrorCode/modelInput`` when a side is no multiple of 32, or the picture is too large or too long.
  public init(height: Int, width: Int, isEdit: Bool) throws {
    guard height > 0, width > 0, height % TargetGrids.pixels == 0, width % TargetGrids.pixels == 0 else {
      throw BessemerError(.modelInput, "a picture of \(width) × \(height) cannot be made; expected multiples of 32")
    }
    target = try VisualGrid(height: height / TargetGrids.pixels, width: width / TargetGrids.pixels)
    let ratio = Double(target.height) / Double(target.width)
    preview =
      isEdit
      ? nil
      : try VisualGrid(height: Int(ratio.squareRoot() * 16), width: Int((1 / ratio).squareRoot() * 16))
  }
}
