import ArgumentParser

/// A number of bytes as a person writes it: `4096`, `512M`, `2G`, `2GiB`. All units are powers of 1024.
struct ByteSize: ExpressibleByArgument, Sendable {
  let byteCount: Int

  init(_ byteCount: Int) { self.byteCount = byteCount }

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let units = ["": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40]
    var unit = argument.dropFirst(digits.count).lowercased()
    if unit.hasSuffix("ib") { unit.removeLast(2) } else if unit.count > 1, unit.hasSuffix("b") { unit.removeLast() }
    guard let shift = units[unit], let number = Double(digits), number > 0 else { return nil }
    let bytes = number * Double(1 << shift)
    guard bytes < 0x1p62 else { return nil }
    byteCount = Int(bytes)
  }

  /// The size with three significant digits and a unit: `512 B`, `1.50 KiB`, `31.4 GiB`.
  var text: String {
    guard byteCount >= 1024 else { return "\(byteCount) B" }
    var (value, unit) = (Double(byteCount), -1)
    let names = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while value >= 1024, unit < names.count - 1 {
      value /= 1024
      unit += 1
    }
    return "\(decimal(value, digits: value < 9.995 ? 2 : value < 99.95 ? 1 : 0)) \(names[unit])"
  }
}

/// `value` with a fixed number of decimal digits, rounded.
func decimal(_ value: Double, digits: Int) -> String {
  guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
  var scale = 1
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int((value.magnitude * Double(scale)).rounded())
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard digits > 0 else { return sign + String(scaled) }
  let fraction = String(scaled % scale)
  return sign + String(scaled / scale) + "." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// `1,234,567`
func grouped(_ number: Int) -> String {
  let digits = Array(String(number.magnitude))
  var result = number < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
    result.append(digit)
  }
  return result
}

/// `1 tensor`, `12,000 tensors`
func counted(_ number: Int, _ noun: String) -> String { "\(grouped(number)) \(noun)\(number == 1 ? "" : "s")" }

/// `0.4 ms`, `12.3 s`, `4:05 min`
func duration(_ seconds: Double) -> String {
  switch seconds {
  case ..<0.1: "\(decimal(seconds * 1000, digits: 1)) ms"
  case ..<100: "\(decimal(seconds, digits: seconds < 10 ? 2 : 1)) s"
  default: "\(Int(seconds) / 60):\(Int(seconds) % 60 < 10 ? "0" : "")\(Int(seconds) % 60) min"
  }
}
