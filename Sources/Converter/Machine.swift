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

  /// Bytes of memory that this process alone has resident now; mapped files do not count.
  public static var privateByteCount: Int { memoryPages.map { ($0.resident - $0.shared) * pageByteCount } ?? 0 }

  /// Bytes of memory that this process has resident now, mapped files included.
  public static var residentByteCount: Int { memoryPages.map { $0.resident * pageByteCount } ?? 0 }

  private static var pageByteCount: Int { Int(sysconf(Int32(_SC_PAGESIZE))) }

  private static var memoryPages: (resident: Int, shared: Int)? {
    guard let file = fopen("/proc/self/statm", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, 128, file) != nil else { return nil }
    let numbers = line.prefix { $0 != 0 && $0 != 10 }.split(separator: 32).map { digits in
      digits.reduce(0) { $0 * 10 + Int($1) - 48 }
    }
    return numbers.count > 2 ? (numbers[1], numbers[2]) : nil
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
