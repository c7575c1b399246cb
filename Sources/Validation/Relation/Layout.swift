import Tensors

/// A way in which elements of a tensor may have been put in another order.
struct Layout {
  let kind: Relation.Kind
  /// The order in words; nil where the expression's own steps say it.
  let words: String?
  let expression: TensorExpression

  /// Calls `body` for each known order of `source` that has as many elements as `shape`, the plainest first, until it
  /// says that it is done. Whether it was.
  static func first(
    _ source: TensorExpression, shape: [Int], _ body: @escaping (Layout) throws -> Bool
  ) throws -> Layout? {
    for layout in [try plain(source, shape)] + (try axes(source, shape)) where try body(layout) { return layout }
    for make in [rotary, blocks, groupedHeads] {
      var found: Layout?
      try make(source, shape) { layout in
        if found == nil, try body(layout) { found = layout }
        return found != nil
      }
      if let found { return found }
    }
    return nil
  }

  private static func plain(_ source: TensorExpression, _ shape: [Int]) throws -> Layout {
    Layout(kind: .identical, words: nil, expression: try source.reshaped(shape))
  }

  /// All orders of the axes of either shape.
  private static func axes(_ source: TensorExpression, _ shape: [Int]) throws -> [Layout] {
    var layouts: [Layout] = []
    let own = source.shape.filter { $0 != 1 }
    let wanted = shape.filter { $0 != 1 }
    for order in permutations(own.count).dropFirst() {
      let turned = try source.reshaped(own).transposed(order)
      let kind: Relation.Kind = own.count == 2 ? .transposed : .permuted
      layouts.append(Layout(kind: kind, words: nil, expression: try turned.reshaped(shape)))
    }
    guard wanted.count > own.count else { return layouts }
    for order in permutations(wanted.count).dropFirst() {
      // The shape that this order of axes turns into the wanted one.
      var before = wanted
      for (place, axis) in order.enumerated() { before[axis] = wanted[place] }
      let turned = try source.reshaped(before).transposed(order)
      layouts.append(Layout(kind: .permuted, words: nil, expression: try turned.reshaped(shape)))
    }
    return layouts
  }

  /// All orders of up to five axes, the unchanged one first; of more, that one alone.
  private static func permutations(_ count: Int) -> [[Int]] {
    guard count <= 5 else { return [Array(0..<count)] }
    return (0..<count).reduce([[]]) { orders, _ in
      orders.flatMap { order in (0..<count).filter { !order.contains($0) }.map { order + [$0] } }
    }
  }

  private typealias Body = (Layout) throws -> Bool

  /// Calls `orders` with the rows of a matrix and with its columns, as the middle axis of three, and with those of the
  /// transposed matrix, and `body` with the layouts that it gives.
  private static func ofMatrix(
    _ source: TensorExpression, _ shape: [Int], _ body: @escaping Body,
    _ orders: (TensorExpression, @escaping Body) throws -> Bool
  ) throws {
    guard let rows = source.shape.first, rows > 1, let count = Tensor.elementCount(of: source.shape), count > 0 else {
      return
    }
    let columns = count / rows
    let give: Body = { layout in
      let expression = try layout.expression.reshaped(shape)
      return try body(Layout(kind: layout.kind, words: layout.words, expression: expression))
    }
    if try orders(source.reshaped([1, rows, columns]), give) { return }
    guard columns > 1 else { return }
    if try orders(source.reshaped([rows, columns, 1]), give) { return }
    // A transposed matrix has other extents, or is square.
    guard shape.first == columns else { return }
    let turned = try source.reshaped([rows, columns]).transposed()
    if try orders(turned.reshaped([1, columns, rows]), give) { return }
    _ = try orders(turned.reshaped([columns, rows, 1]), give)
  }

  /// Rotary embeddings by halves or by pairs: within the rotated part of each head, rows (i, i + n/2) become (2i, 2i+1)
  /// or the other way.
  private static func rotary(_ source: TensorExpression, _ shape: [Int], _ body: @escaping Body) throws {
    try ofMatrix(source, shape, body) { matrix, body in
      let (outer, rows, inner) = (matrix.shape[0], matrix.shape[1], matrix.shape[2])
      for depth in divisors(rows) where depth >= 4 && depth % 2 == 0 {
        let heads = rows / depth
        var parts = [depth, depth / 2, depth / 3, depth / 4]
        if heads <= 8 { parts += [32, 64, 128] }
        for part in unique(parts) where part >= 4 && part % 2 == 0 && part <= depth {
          for first in part == depth ? [0] : [0, depth - part] {
            for toPairs in [true, false] {
              let view = try matrix.reshaped([outer, heads, depth, inner])
              var pieces: [TensorExpression] = []
              if first > 0 { pieces.append(try view.sliced(axis: 2, first: 0, count: first)) }
              let rotated = try view.sliced(axis: 2, first: first, count: part)
              let split = [outer, heads] + (toPairs ? [2, part / 2] : [part / 2, 2]) + [inner]
              pieces.append(
                try rotated.reshaped(split).transposed([0, 1, 3, 2, 4]).reshaped([outer, heads, part, inner]))
              if first + part < depth {
                pieces.append(try view.sliced(axis: 2, first: first + part, count: depth - first - part))
              }
              let words =
                "rotary \(toPairs ? "halves to pairs" : "pairs to halves"), heads=\(heads)"
                + (part == depth ? "" : ", \(first == 0 ? "first" : "last") \(part) of \(depth) rows")
              let whole = try TensorExpression.concat(pieces, axis: 2)
              if try body(Layout(kind: .permuted, words: words, expression: whole)) { return true }
            }
          }
        }
      }
      return false
    }
  }

  /// Rows as A times B blocks, exchanged: `[a, b, n]` becomes `[b, a, n]`.
  private static func blocks(_ source: TensorExpression, _ shape: [Int], _ body: @escaping Body) throws {
    try ofMatrix(source, shape, body) { matrix, body in
      let (outer, rows, inner) = (matrix.shape[0], matrix.shape[1], matrix.shape[2])
      for a in divisors(rows) where a > 1 && a < rows {
        for b in divisors(rows / a) where b > 1 {
          let block = rows / a / b
          let view = try matrix.reshaped([outer, a, b, block, inner]).transposed([0, 2, 1, 3, 4])
          let words = "rows [\(a),\(b),\(block)] to [\(b),\(a),\(block)]"
          if try body(Layout(kind: .permuted, words: words, expression: view)) { return true }
        }
      }
      return false
    }
  }

  /// Query, key and value rows by groups of heads or one kind after the other: `[groups, n q, k, v]`.
  private static func groupedHeads(_ source: TensorExpression, _ shape: [Int], _ body: @escaping Body) throws {
    try ofMatrix(source, shape, body) { matrix, body in
      let (outer, rows, inner) = (matrix.shape[0], matrix.shape[1], matrix.shape[2])
      for groups in divisors(rows) where groups > 1 {
        for depth in divisors(rows / groups) where depth > 1 && rows / groups / depth > 3 {
          let queries = rows / groups / depth - 2
          let sizes = [queries * depth, depth, depth]
          let joined = try TensorExpression.concat(
            try matrix.reshaped([outer, groups, rows / groups, inner]).split(axis: 2, sizes: sizes)
              .map { try $0.reshaped([outer, -1, inner]) }, axis: 1)
          let words = "q, k and v from \(groups) groups of \(queries) heads"
          if try body(Layout(kind: .permuted, words: words, expression: joined)) { return true }
          let parts = try matrix.split(axis: 1, sizes: sizes.map { $0 * groups })
            .map { try $0.reshaped([outer, groups, -1, inner]) }
          let grouped = try TensorExpression.concat(parts, axis: 2)
          let other = "q, k and v to \(groups) groups of \(queries) heads"
          if try body(Layout(kind: .permuted, words: other, expression: grouped)) { return true }
        }
      }
      return false
    }
  }

  /// The divisors of a number, in rising order; of one with very many rows, none.
  static func divisors(_ number: Int) -> [Int] {
    guard number > 0, number <= 1 << 24 else { return [] }
    var (low, high): ([Int], [Int]) = ([], [])
    var k = 1
    while k * k <= number {
      if number % k == 0 {
        low.append(k)
        if k * k != number { high.append(number / k) }
      }
      k += 1
    }
    return low + high.reversed()
  }

  private static func unique(_ numbers: [Int]) -> [Int] {
    numbers.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}
