internal import CSystem

/// Signals that ask the process to stop: noted by a handler, acted upon at the next ``check()``.
public enum Interrupt {
  /// Installs the process-wide handlers; the command line does this once, before any work.
  ///
  /// SIGINT, SIGTERM and SIGHUP set a flag; a second one removes temporary outputs and exits with 130. SIGBUS inside a
  /// mapped input, which means that the file shrank, says so in one line, removes temporary outputs and exits with 3.
  /// SIGPIPE and SIGXFSZ are ignored, so that writing reports them as errors.
  public static func installHandlers() { sys_install_signal_handlers() }

  /// Whether one of the signals came.
  public static var isRequested: Bool { sys_interrupt_signal() != 0 }

  /// Throws ``ErrorCode/interrupted`` when one of the signals came. Cheap: long loops call it every megabyte or so.
  public static func check() throws {
    let signal = sys_interrupt_signal()
    guard signal == 0 else { throw BessemerError(.interrupted, "stopped by \(name(signal))") }
  }

  private static func name(_ signal: Int32) -> String {
    switch signal {
    case 1: "SIGHUP"
    case 2: "SIGINT"
    case 15: "SIGTERM"
    default: "signal \(signal)"
    }
  }
}
