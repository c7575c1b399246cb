internal import Tensors

extension RegexParser {
  mutating func escapedAssertion() -> RegexAssertion? {
    for (name, assertion) in [
      ("A", RegexAssertion.textStart), ("z", .textEnd), ("Z", .textEndOrNewline), ("b", .wordBoundary),
      ("B", .notWordBoundary),
    ] where take(name) {
      return assertion
    }
    return nil
  }

  /// What follows a backslash: an item and whether its complement is meant.
  mutating func escape() throws(BessemerError) -> (ScalarSet.Item, Bool) {
    let scalar = try next()
    switch Unicode.Scalar(scalar) {
    case "s": return (.space, false)
    case "S": return (.space, true)
    case "w": return (.word, false)
    case "W": return (.word, true)
    case "d": return (.categories(1 << 8), false)
    case "D": return (.categories(1 << 8), true)
    case "h", "H":
      let digits = [(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)].map { ScalarSet.Item.range($0.0...$0.1) }
      return (.set(ScalarSet(digits)), scalar == 0x48)
    case "p", "P":
      guard take("{") else { throw unsupported("\\p without {") }
      var isNegated = scalar == 0x50
      if take("^") { isNegated.toggle() }
      var name = ""
      while !take("}") { name.unicodeScalars.append(Unicode.Scalar(try next()) ?? " ") }
      guard let item = ScalarSet.property(name) else { throw unsupported("the unknown property \(quoted(name))") }
      return (item, isNegated)
    case "n": return (.range(10...10), false)
    case "r": return (.range(13...13), false)
    case "t": return (.range(9...9), false)
    case "f": return (.range(12...12), false)
    case "v": return (.range(11...11), false)
    case "a": return (.range(7...7), false)
    case "e": return (.range(27...27), false)
    case "x":
      let value = take("{") ? try hexadecimal(1...8, closing: true) : try hexadecimal(1...2, closing: false)
      guard value < 0x80 || scalars[position - 1] == 0x7D else { throw unsupported("a byte that is no character") }
      return (.range(value...value), false)
    case "u":
      let value = try hexadecimal(4...4, closing: false)
      return (.range(value...value), false)
    default:
      let isLetterOrDigit = scalar < 0x80 && (Unicode.Scalar(scalar)?.properties.isAlphabetic ?? false)
      if isLetterOrDigit || (0x30...0x39).contains(scalar) {
        throw unsupported("the escape \(quoted("\\" + String(Unicode.Scalar(scalar) ?? " ")))")
      }
      return (.range(scalar...scalar), false)
    }
  }

  private mutating func hexadecimal(_ digits: ClosedRange<Int>, closing: Bool) throws(BessemerError) -> UInt32 {
    var value: UInt32 = 0
    var count = 0
    while count < digits.upperBound, let scalar = peek(), scalar < 0x80,
      let digit = Character(Unicode.Scalar(UInt8(scalar))).hexDigitValue
    {
      value = value << 4 | UInt32(digit)
      count += 1
      position += 1
    }
    guard digits.contains(count), !closing || take("}"), Unicode.Scalar(value) != nil else {
      throw unsupported("a malformed number of a character")
    }
    return value
  }

  /// The rest of `[…]` after the opening bracket.
  mutating func bracket() throws(BessemerError) -> ScalarSet {
    let isNegated = take("^")
    var operands: [ScalarSet] = []
    var items: [ScalarSet.Item] = []
    var isFirst = true
    while true {
      if take("]") {
        if isFirst { throw unsupported("an empty set") }
        break
      }
      isFirst = false
      if take("&&") {
        operands.append(ScalarSet(items))
        items = []
      } else if take("[:") {
        items.append(try posixClass())
      } else if take("[") {
        items.append(.set(try nested { parser throws(BessemerError) in try parser.bracket() }))
      } else {
        items += try bracketItem()
      }
    }
    if operands.isEmpty { return ScalarSet(items, isNegated: isNegated) }
    return ScalarSet([.intersection(operands + [ScalarSet(items)])], isNegated: isNegated)
  }

  private mutating func bracketItem() throws(BessemerError) -> [ScalarSet.Item] {
    var item: ScalarSet.Item
    if take("\\") {
      if take("b") {
        item = .range(8...8)
      } else {
        let (escaped, isNegated) = try escape()
        item = isNegated ? .set(ScalarSet([escaped], isNegated: true)) : escaped
      }
    } else {
      let scalar = try next()
      item = .range(scalar...scalar)
    }
    guard case .range(let low) = item, peek() == 0x2D, let after = peek(1), after != 0x5D else {
      return try folded(item)
    }
    position += 1
    var high = try next()
    if high == 0x5B { throw unsupported("a range that ends in a set") }
    if high == 0x5C {
      guard case (.range(let bound), false) = try escape() else { throw unsupported("a range that ends in a class") }
      high = bound.lowerBound
    }
    guard low.lowerBound <= high else { throw unsupported("a range that goes backwards") }
    return try folded(.range(low.lowerBound...high))
  }

  private mutating func posixClass() throws(BessemerError) -> ScalarSet.Item {
    let isNegated = take("^")
    var name = ""
    while !take(":]") { name.unicodeScalars.append(Unicode.Scalar(try next()) ?? " ") }
    let item: ScalarSet.Item
    switch name {
    case "space": item = .space
    case "word": item = .word
    case "digit": item = .categories(1 << 8)
    case "punct": item = .categories(0x3FF800)
    case "cntrl": item = .categories(1 << 25)
    default: throw unsupported("the class \(quoted(name))")
    }
    return isNegated ? .set(ScalarSet([item], isNegated: true)) : item
  }
}
