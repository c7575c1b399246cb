internal import CCrypto
internal import CKernels
internal import CZstd
internal import Glibc

/// The machine and the libraries that this process runs with.
public enum Machine {
  /// Processors that are there.
  public static var processorCount: Int {
    max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// Bytes of memory the machine has.
  public static var memoryByteCount: Int {
    max(0, Int(sysconf(Int32(_SC_PHYS_PAGES)))) * max(0, Int(sysconf(Int32(_SC_PAGESIZE))))
  }

  /// Bytes that are free for ordinary users on the disk that holds `path`.
  public static func freeByteCount(at path: String) -> Int? {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  /// The largest amount of memory that this process had resident, mapped files included.
  public static var peakByteCount: Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return usage.ru_maxrss * 1024
  }

  /// The instruction sets that kernels can use here, worst first.
  public static var instructionSets: [String] {
    var names: [String] = []
    while let name = bk_isa_at(Int32(names.count)) { names.append(String(cString: name)) }
    return names
  }

  /// The instruction set that kernels use.
  public static var instructionSet: String { bk_isa().map { String(cString: $0) } ?? "portable" }

  public static var zstdVersion: String { ZSTD_versionString().map { String(cString: $0) } ?? "unknown" }

  public static var cryptoVersion: String { OpenSSL_version(OPENSSL_VERSION).map { String(cString: $0) } ?? "unknown" }
}
