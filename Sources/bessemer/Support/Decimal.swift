/// A number for people: `digits` significant ones, with an exponent only where it is very large or small.
func significant(_ value: Double, _ digits: Int = 4) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  guard value != 0 else { return "0" }
  let magnitude = abs(value)
  var exponent = 0
  var scaled = magnitude
  while scaled >= 10 { (scaled, exponent) = (scaled / 10, exponent + 1) }
  while scaled < 1 { (scaled, exponent) = (scaled * 10, exponent - 1) }
  var unit = 1
  for _ in 1..<max(digits, 1) { unit *= 10 }
  var whole = Int((scaled * Double(unit)).rounded())
  if whole >= unit * 10 { (whole, exponent) = (whole / 10, exponent + 1) }
  var text = Array(String(whole))
  let sign = value < 0 ? "-" : ""
  if exponent < -4 || exponent > 9 {
    while text.count > 1, text.last == "0" { text.removeLast() }
    return sign + String(text[0]) + (text.count > 1 ? "." + String(text[1...]) : "") + "e\(exponent)"
  }
  if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + String(text) }
  if exponent + 1 >= text.count {
    return sign + String(text) + String(repeating: "0", count: exponent + 1 - text.count)
  }
  return sign + String(text[...exponent]) + "." + String(text[(exponent + 1)...])
}
