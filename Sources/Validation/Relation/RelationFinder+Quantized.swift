import Tensors

/// Finding what was quantized: codes that are what rounding a source to their steps gives.
extension RelationFinder {
  /// The most scales of a tensor that are kept in memory.
  private static let maximumScaleCount = 1 << 22
  /// Numbers that are decoded at a time; whole blocks of every encoding.
  private static let pieceElementCount = 1 << 16

  /// How the codes of an output are read: as blocks, or with scales that stand in other outputs.
  private struct Codes {
    let decode: (Range<Int>) throws -> DecodedCodes
    let words: String
    /// Outputs that hold scales and offsets.
    let scales: [Int]
  }

  /// Explains codes that are open, and with them the tensors of their scales.
  mutating func findQuantized() throws {
    for index in open where findings[index] == nil {
      for codes in try codes(index) where findings[index] == nil { try explain(index, codes) }
    }
  }

  private mutating func explain(_ index: Int, _ codes: Codes) throws {
    let entry = output[index]
    let candidates = byName(
      source.indices.filter { count(source[$0]) == count(entry) && source[$0].dtype.isFloat }, index)
    // What was rounded to a shorter type before counts too.
    let ways = candidates.enumerated().flatMap { place, other in
      [source[other].dtype, .bfloat16, .float16].enumerated().compactMap { step, dtype in
        step == 0 || source[other].dtype != dtype && source[other].dtype.bits >= dtype.bits
          ? (place, other, dtype) : nil
      }
    }
    for (place, other, dtype) in ways {
      guard let expression = try cast(other, to: dtype)?.cast(to: .float32), try prober.open(expression) != nil else {
        continue
      }
      var worst = 0.0
      let finder = self
      let layout = try firstLayout(expression, entry.shape, isThorough: place < 4) { layout in
        guard try finder.isNear(layout.expression, codes) else { return false }
        guard let error = try finder.largestError(layout.expression, codes) else { return false }
        worst = error
        return true
      }
      guard let layout else { continue }
      var steps = dtype == source[other].dtype ? [] : ["cast \(source[other].dtype) to \(dtype)"]
      if layout.kind != .identical {
        steps.append(layout.words ?? layout.expression.steps.filter { !$0.hasPrefix("cast ") }.joined(separator: ", "))
      }
      var relation = Relation(
        .quantized, [source[other].name], steps: steps + ["quantize: \(codes.words)"])
      relation.note = "off by at most \(Int((worst * 1000).rounded(.up))) thousandths of a step"
      findings[index] = Finding(relation: relation, uses: [Use(source: other, elementCount: count(entry))])
      for scale in codes.scales where findings[scale] == nil {
        let note = "of \(quoted(entry.name.string))"
        findings[scale] = Finding(relation: Relation(.scale, [source[other].name], note: note), uses: [])
      }
      return
    }
  }

  /// All layouts, or only those that do not depend on numbers of heads and the like.
  private func firstLayout(
    _ source: TensorExpression, _ shape: [Int], isThorough: Bool, _ body: @escaping (Layout) throws -> Bool
  ) throws -> Layout? {
    var isOver = false
    let found = try Layout.first(source, shape: shape) { layout in
      if isOver || !isThorough && layout.words != nil {
        isOver = true
        return true
      }
      return try body(layout)
    }
    return isOver ? nil : found
  }

  /// Whether some values have the direction of those of a source.
  private func isNear(_ expression: TensorExpression, _ codes: Codes) throws -> Bool {
    guard let opened = try prober.open(expression) else { return false }
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    let size = OpenedExpression.groupElementCount
    let total = Tensor.elementCount(of: expression.shape) ?? 0
    for k in 0..<12 {
      let group = opened.groupCount <= 12 ? k : (k * 7919 + 13) &* 104_729 % opened.groupCount
      guard group < opened.groupCount else { break }
      let elements = (group * size)..<min((group + 1) * size, total)
      let own = try Tensor(.float32, shape: [elements.count], bytes: opened.group(group)).doubles
      for (x, y) in zip(own, try codes.decode(elements).values) where x.isFinite && y.isFinite {
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y)
      }
      if k == 3, xx > 0, xy * xy < 0.2 * xx * yy || xy < 0 { return false }
    }
    return xx == 0 && yy == 0 || xy > 0 && xy * xy > 0.5 * xx * yy
  }

  /// The largest error in steps, if it is at most half a step everywhere.
  private func largestError(_ expression: TensorExpression, _ codes: Codes) throws -> Double? {
    struct TooFar: Error {}
    var (worst, position) = (0.0, 0)
    do {
      try forEachPiece(of: RelationFinder.pieceElementCount * 4, in: { try expression.forEachPiece($0) }) { piece in
        let values = try Tensor(.float32, shape: [piece.count / 4], bytes: piece).doubles
        let decoded = try codes.decode(position..<(position + values.count))
        for k in values.indices {
          let error = decoded.error(k, of: values[k])
          if error > 0.501 { throw TooFar() }
          worst = max(worst, error)
        }
        position += values.count
      }
    } catch is TooFar { return nil }
    return worst
  }

  // MARK: Codes

  private func codes(_ index: Int) throws -> [Codes] {
    let entry = output[index]
    if let (type, blocks) = try entry.blocks() {
      guard let bounds = BlockBounds(type) else { return [] }
      let decode = { (elements: Range<Int>) -> DecodedCodes in
        let first = elements.lowerBound / type.elementCount
        let last = (elements.upperBound + type.elementCount - 1) / type.elementCount
        let own = blocks[(first * type.byteCount)..<(last * type.byteCount)]
        defer { own.releasePages() }
        return try bounds.decode(own).part(elements.lowerBound - first * type.elementCount, elements.count)
      }
      return [Codes(decode: decode, words: "blocks of \(type.rawValue)", scales: [])]
    }
    guard entry.dtype.bits <= 8, entry.dtype.isInteger || entry.dtype.isFloat, entry.shape.count > 1,
      try prober.canOpen(entry), let opened = try prober.open(TensorExpression(entry))
    else { return [] }
    let columns = entry.shape.dropFirst().reduce(1, *)
    var result: [Codes] = []
    let beside = try besides(index)
    for scale in beside {
      for grid in ScaledCodes.Grid.all(scale.values.count, rows: entry.shape[0], columns: columns) {
        let partners = beside.filter { $0.index != scale.index && $0.values.count == scale.values.count }
        for (offset, partner) in [(ScaledCodes.Offset.none, nil)] + partners.flatMap({ [(.before, $0), (.after, $0)] })
        {
          let scaled = ScaledCodes(
            dtype: entry.dtype, columns: columns, grid: grid, scales: scale.values, offset: offset,
            offsets: partner?.values ?? [], scalePrecision: RelationFinder.precision(output[scale.index].dtype))
          let words = "\(entry.dtype) with \(grid.words)" + (offset == .none ? "" : " and an offset")
          let decode = { (elements: Range<Int>) in
            scaled.decode(try opened.values(elements, entry.dtype), from: elements.lowerBound)
          }
          result.append(Codes(decode: decode, words: words, scales: [scale.index] + (partner.map { [$0.index] } ?? [])))
        }
      }
    }
    return result
  }

  /// Half a unit in the last place of a scale's type.
  private static func precision(_ dtype: DType) -> Double {
    switch dtype {
    case .float64: 0x1p-24
    case .float32: 0x1p-22
    case .float16: 0x1p-10
    default: 0x1p-7
    }
  }

  /// Outputs whose names start as that of the codes does and that may hold scales or offsets, with their values.
  private func besides(_ index: Int) throws -> [(index: Int, values: [Double])] {
    let entry = output[index]
    let name = entry.name.string
    // The scales of `x.weight` are named after `x`, those of any other name after all of it.
    let last = name.utf8.lastIndex(of: UInt8(ascii: ".")).map { name[name.index(after: $0)...] } ?? ""
    let stem = last.contains("weight") ? String(name.dropLast(last.utf8.count)) : name
    return try output.indices.filter { k in
      k != index && output[k].name.string.hasPrefix(stem) && !output[k].dtype.isComplex
        && count(output[k]) <= min(RelationFinder.maximumScaleCount, count(entry) / 2)
        && count(entry) % max(1, count(output[k])) == 0
    }.prefix(8).map { ($0, try output[$0].tensor().doubles) }
  }
}

extension DecodedCodes {
  /// Some elements of these.
  fileprivate func part(_ first: Int, _ count: Int) -> DecodedCodes {
    guard first > 0 || count < values.count else { return self }
    let range = first..<(first + count)
    var result = DecodedCodes(values: Array(values[range]))
    result.steps = Array(steps[range])
    result.least = Array(least[range])
    result.greatest = Array(greatest[range])
    result.slack = Array(slack[range])
    return result
  }
}

extension OpenedExpression {
  /// The values of a range of elements.
  fileprivate func values(_ elements: Range<Int>, _ dtype: DType) throws -> [Double] {
    let size = OpenedExpression.groupElementCount
    let groups = (elements.lowerBound / size)..<((elements.upperBound + size - 1) / size)
    let bytes = try self.groups(groups)
    let all = try Tensor(dtype, shape: [bytes.count * 8 / dtype.bits], bytes: bytes).doubles
    let skipped = elements.lowerBound - groups.lowerBound * size
    return Array(all[skipped..<(skipped + elements.count)])
  }
}
