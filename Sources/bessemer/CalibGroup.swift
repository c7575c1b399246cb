import ArgumentParser

/// The commands about calibration data.
struct CalibGroup: ParsableCommand {
  static let configuration = configure("calib", "Look at calibration data.", subcommands: [CalibLint.self])
}
