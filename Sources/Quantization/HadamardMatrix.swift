/// A matrix of +1 and -1 whose rows are orthogonal, of an order that is no power of two.
///
/// The orders and the matrices are those of msModelSlim and QuaRot, made by their constructions; others follow where
/// Paley's first construction reaches them. Sources: Paley 1933, Williamson 1944.
struct HadamardMatrix: Sendable {
  let order: Int
  /// [order, order].
  let values: [Float]

  /// Orders that go before others which divide the same sizes, and how they are made.
  private static let known: [(order: Int, make: @Sendable () -> HadamardMatrix?)] = [
    (200, { paley(199) }), (172, { williamson(43) }), (160, { paley(79)?.doubled }), (156, { williamson(39) }),
    (140, { paley(139) }), (136, { williamson(17)?.doubled }), (108, { williamson(27) }), (76, { williamson(19) }),
    (60, { williamson(15) }), (52, { williamson(13) }), (40, { williamson(5)?.doubled }), (36, { williamson(9) }),
    (28, { williamson(7) }), (20, { williamson(5) }), (12, { paley(11) }),
  ]

  /// The largest order that is looked for.
  private static let largest = 4096

  /// The matrix for vectors of so many elements, which are its order times a power of two; nil where none is known.
  init?(dividing size: Int) {
    func isMultiple(_ order: Int) -> Bool {
      size % order == 0 && (size / order) & (size / order - 1) == 0
    }
    if let found = HadamardMatrix.known.first(where: { isMultiple($0.order) })?.make() {
      self = found
      return
    }
    // The odd part times 4, 8, ... as far as one less is a prime that the construction takes.
    var order = size
    while order % 2 == 0 { order /= 2 }
    order *= 4
    while order <= min(size, HadamardMatrix.largest) {
      if isMultiple(order), let found = HadamardMatrix.paley(order - 1) {
        self = found
        return
      }
      order *= 2
    }
    return nil
  }

  private init(order: Int, _ value: (_ row: Int, _ column: Int) -> Bool) {
    self.order = order
    values = (0..<(order * order)).map { value($0 / order, $0 % order) ? 1 : -1 }
  }

  private subscript(row: Int, column: Int) -> Bool { values[row * order + column] > 0 }

  /// Of order q + 1, by which numbers are squares modulo q: a prime that leaves 3 when divided by 4; nil for others.
  private static func paley(_ q: Int) -> HadamardMatrix? {
    guard q > 2, q % 4 == 3, !(2..<q).contains(where: { $0 * $0 <= q && q % $0 == 0 }) else { return nil }
    var isSquare = [Bool](repeating: false, count: q)
    for number in 1..<q { isSquare[number * number % q] = true }
    return HadamardMatrix(order: q + 1) { row, column in
      guard row > 0, column > 0 else { return column == 0 }
      return row == column || isSquare[(row - column + q) % q]
    }
  }

  /// Twice the order: `[[H, H], [H, -H]]`.
  private var doubled: HadamardMatrix {
    HadamardMatrix(order: 2 * order) { row, column in
      self[row % order, column % order] != (row >= order && column >= order)
    }
  }

  /// The first rows of four symmetric circulant matrices, by their order: of each the first half and the middle.
  private static let rows: [Int: [String]] = [
    5: ["+--", "+--", "++-", "+-+"],
    7: ["+---", "++--", "+-+-", "+--+"],
    9: ["++---", "+-+--", "+--+-", "+---+"],
    13: ["+-+--++", "+---+++", "++-+--+", "+----+-"],
    15: ["++-++-+-", "++-++++-", "++-++---", "+-+---++"],
    17: ["+-++-+++-", "+--+-++++", "++-+---+-", "+---+++--"],
    19: ["++--+-++++", "+-+---++++", "++-++--+-+", "++--+++-+-"],
    27: ["+---+++++-+-++", "+---+++++-+-++", "+--+--+-+++--+", "+++-++-+---++-"],
    39: ["+++--+-+-----+--++--", "++++---+--++----+-+-", "+++--++-+---+-+--+--", "+---++-+-+-----+++-+"],
    43: ["+---++--++++-+-+++-++-", "++-++++++----+-+--++-+", "+++-+-++--+-+-++++-+--", "++---++++-+--+--++----"],
  ]

  /// Of four times the order: four such matrices, A B C D over -B A -D C, -C D A -B and -D -C B A.
  private static func williamson(_ order: Int) -> HadamardMatrix? {
    guard let rows = rows[order]?.map({ Array($0.utf8) }) else { return nil }
    let blocks = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
    let isNegative = [
      [false, false, false, false], [true, false, true, false], [true, false, false, true],
      [true, true, false, false],
    ]
    return HadamardMatrix(order: 4 * order) { row, column in
      let (down, across) = (row / order, column / order)
      let distance = (column % order - row % order + order) % order
      let isPlus = rows[blocks[down][across]][min(distance, order - distance)] == UInt8(ascii: "+")
      return isPlus != isNegative[down][across]
    }
  }
}
