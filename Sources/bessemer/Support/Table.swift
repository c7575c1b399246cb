import Tensors

/// Aligned columns, made for a hundred thousand rows: cells are bytes in one buffer, rows are written in one go.
struct Table {
  enum Alignment { case left, right }

  private let alignments: [Alignment]
  private var bytes: [UInt8] = []
  /// The end of each cell in `bytes`, and its width in characters.
  private var cells: [(end: Int, width: Int)] = []
  private var widths: [Int]
  private let isTitled: Bool

  /// Columns by title; a table whose titles are all empty has no title row.
  init(_ columns: [(title: String, alignment: Alignment)]) {
    alignments = columns.map(\.alignment)
    widths = columns.map { _ in 0 }
    isTitled = columns.contains { !$0.title.isEmpty }
    if isTitled { for column in columns { add(column.title) } }
  }

  var rowCount: Int { cells.count / widths.count - (isTitled ? 1 : 0) }

  /// Appends the next cell.
  mutating func add(_ text: String) {
    let start = bytes.count
    bytes.append(contentsOf: text.utf8)
    close(from: start)
  }

  mutating func add(_ number: Int) { add(String(number)) }

  /// Appends a name from a file: escaped, and shortened beyond `limit` characters.
  mutating func add(name: String, limit: Int = 100) {
    let start = bytes.count
    bytes.append(contentsOf: name.utf8)
    let isPlain = bytes.count - start <= limit && bytes[start...].allSatisfy { $0 >= 0x20 && $0 < 0x7F }
    if !isPlain {
      bytes.removeSubrange(start...)
      bytes.append(contentsOf: escaped(name, limit: limit).utf8)
    }
    close(from: start)
  }

  /// Appends `[2,3]`.
  mutating func add(shape: [Int]) {
    let start = bytes.count
    bytes.append(UInt8(ascii: "["))
    for (index, n) in shape.prefix(16).enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes.append(contentsOf: String(n).utf8)
    }
    if shape.count > 16 { bytes.append(contentsOf: ",…".utf8) }
    bytes.append(UInt8(ascii: "]"))
    close(from: start)
  }

  mutating func row(_ texts: String...) {
    for text in texts { add(text) }
  }

  private mutating func close(from start: Int) {
    // Bytes that do not continue a UTF-8 sequence: one per scalar.
    var width = 0
    for byte in bytes[start...] where byte & 0xC0 != 0x80 { width += 1 }
    let column = cells.count % widths.count
    widths[column] = max(widths[column], width)
    cells.append((bytes.count, width))
  }

  /// Writes all rows; two spaces between columns and none at the end of a line.
  func write(to out: StandardOutput, indent: String = "") throws {
    precondition(cells.count % widths.count == 0, "a row is incomplete")
    var line: [UInt8] = []
    var start = 0
    for (index, cell) in cells.enumerated() {
      let column = index % widths.count
      if column == 0 { line = Array(indent.utf8) }
      let padding = repeatElement(UInt8(ascii: " "), count: widths[column] - cell.width)
      if alignments[column] == .right { line.append(contentsOf: padding) }
      line.append(contentsOf: bytes[start..<cell.end])
      start = cell.end
      if column < widths.count - 1 {
        if alignments[column] == .left { line.append(contentsOf: padding) }
        line.append(UInt8(ascii: " "))
        line.append(UInt8(ascii: " "))
      } else {
        while line.last == UInt8(ascii: " ") { line.removeLast() }
        line.append(UInt8(ascii: "\n"))
        try out.write(line)
      }
    }
  }
}
