import Glibc
import Tensors

/// Work that takes a while, shown on standard error: a bar on a terminal, else a line every few seconds, or JSON lines.
///
/// Nothing is shown in the first half second, so that short work leaves no trace.
///
/// Unsafe inside: one thread at a time calls it, as the work's own contract says.
final class Progress: @unchecked Sendable {
  enum Unit { case bytes, items }

  private enum Style { case bar, lines, json, none }

  private let title: String
  private var total: Int
  private let unit: Unit
  private let style: Style
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var next: Duration
  private var isDrawn = false

  init(_ title: String, total: Int, unit: Unit, mode: ProgressMode, isTerminal: Bool) {
    self.title = title
    self.total = total
    self.unit = unit
    style =
      switch mode {
      case .off: .none
      case .json: .json
      case .plain: .lines
      case .auto: isTerminal ? .bar : .lines
      }
    start = clock.now
    next = style == .bar || style == .json ? .milliseconds(500) : .seconds(3)
  }

  /// Shows how much is done, if it is time to.
  func update(_ done: Int, of total: Int? = nil) {
    if let total { self.total = total }
    guard style != .none else { return }
    let elapsed = clock.now - start
    guard elapsed >= next else { return }
    next = elapsed + (style == .bar ? .milliseconds(100) : style == .json ? .milliseconds(500) : .seconds(3))
    show(done, elapsed / .seconds(1))
  }

  /// Removes the bar.
  func finish() {
    if isDrawn { writeAll(Array("\r\u{1B}[K".utf8), to: STDERR_FILENO) }
    isDrawn = false
  }

  private func show(_ done: Int, _ seconds: Double) {
    let rate = seconds > 0 ? Double(done) / seconds : 0
    let left = rate > 0 ? Double(max(total - done, 0)) / rate : 0
    switch style {
    case .json:
      var json = JSONWriter(.compact)
      json.object { json in
        json.member("schema", "bessemer.progress/1")
        json.member("task", title)
        json.member("done", done)
        json.member("total", total)
        json.member("unit", unit == .bytes ? "bytes" : "items")
        json.member("seconds", seconds)
        json.member("seconds_left", left)
      }
      writeAll(json.utf8 + [10], to: STDERR_FILENO)
    case .bar:
      let width = 24
      let filled = total > 0 ? min(width, done * width / total) : 0
      let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
      isDrawn = true
      writeAll(Array("\r\(title) \(bar) \(words(done, rate, left))\u{1B}[K".utf8), to: STDERR_FILENO)
    case .lines: writeAll(Array("\(title) \(words(done, rate, left))\n".utf8), to: STDERR_FILENO)
    case .none: break
    }
  }

  private func words(_ done: Int, _ rate: Double, _ left: Double) -> String {
    let percent = total > 0 ? min(100, done * 100 / total) : 100
    let amounts =
      unit == .bytes
      ? "\(ByteSize(done).text) of \(ByteSize(total).text), \(ByteSize(Int(rate)).text)/s"
      : "\(grouped(done)) of \(grouped(total))"
    return "\(percent)%  \(amounts), \(duration(left)) left"
  }
}
