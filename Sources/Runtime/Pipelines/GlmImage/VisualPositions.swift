internal import Tensors

/// A position of GLM-Image's language model: a point in time, and within a picture a row and a column.
public struct VisualPosition: Sendable, Equatable {
  public var time: Int
  public var row: Int
  public var column: Int

  init(time: Int, row: Int, column: Int) { (self.time, self.row, self.column) = (time, row, column) }

  /// Text is the same on all axes.
  init(_ time: Int) { self.init(time: time, row: time, column: time) }

  /// Tokens of a grid that begins at `start`, row by row.
  static func positions(of grid: VisualGrid, at start: Int) -> [VisualPosition] {
    (0..<grid.height).flatMap { row in
      (0..<grid.width).map { VisualPosition(time: start, row: start + row, column: start + $0) }
    }
  }
}

/// The positions of a prompt and of what is generated after it.
public struct VisualPositions: Sendable, Equatable {
  public private(set) var prompt: [VisualPosition] = []
  /// Those of the generated tokens in order, and one for the end.
  public private(set) var generated: [VisualPosition] = []

  /// - Parameters:
  ///   - ids: a prompt in which each picture stands between the tokens `start` and `end`; the last `start` has no end.
  ///   - sources: the grids of the pictures in the prompt.
  ///   - targets: the grids that are generated, in this order.
  /// - Throws: ``ErrorCode/modelInput`` when the prompt has other pictures than `sources` says.
  public init(
    _ ids: some Collection<Int32>, sources: [VisualGrid], targets: [VisualGrid], start: Int32, end: Int32
  ) throws {
    let ids = Array(ids)
    let starts = ids.indices.filter { ids[$0] == start }
    let ends = ids.indices.filter { ids[$0] == end }
    guard ends.count == sources.count, starts.count >= ends.count,
      zip(sources, zip(starts, ends)).allSatisfy({ grid, place in place.1 - place.0 - 1 == grid.count }),
      zip(starts.dropFirst(), ends).allSatisfy({ $0 > $1 })
    else {
      throw BessemerError(
        .modelInput, "the prompt has tokens that begin or end pictures in places where there is no picture")
    }
    var (next, done) = (0, 0)
    func text(upTo place: Int) {
      prompt += (0..<place - done).map { VisualPosition(next + $0) }
      next += place - done
    }
    for (grid, place) in zip(sources, zip(starts, ends)) {
      text(upTo: place.0 + 1)
      prompt += VisualPosition.positions(of: grid, at: next)
      next += max(grid.height, grid.width)
      done = place.1
    }
    text(upTo: ids.count)
    for grid in targets {
      generated += VisualPosition.positions(of: grid, at: next)
      next += max(grid.height, grid.width)
    }
    generated.append(VisualPosition(next))
  }
}

extension [VisualPosition] {
  /// The three axes after one another, [3, count].
  var axes: [Int64] { map { Int64($0.time) } + map { Int64($0.row) } + map { Int64($0.column) } }
}
