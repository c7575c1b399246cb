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

  /// Bytes of memory the machine has, or that the process's control group may use if that is less.
  public static var memoryByteCount: Int {
    let physical = max(0, Int(sysconf(Int32(_SC_PHYS_PAGES)))) * max(0, Int(sysconf(Int32(_SC_PAGESIZE))))
    return groupLimits.reduce(physical, min)
  }

  /// The limits of memory that control groups of either version set on this process. In a container its own group
  /// stands at the root.
  private static var groupLimits: [Int] {
    let groups = lines(of: "/proc/self/cgroup").map {
      $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    }.filter { $0.count == 3 }
    let root = "/sys/fs/cgroup"
    let files =
      [root + "/memory.max", root + "/memory/memory.limit_in_bytes"]
      + groups.filter { $0[1].isEmpty }.map { "\(root)\($0[2])/memory.max" }
      + groups.filter { $0[1].split(separator: ",").contains("memory") }
      .map { "\(root)/memory\($0[2])/memory.limit_in_bytes" }
    return files.compactMap { lines(of: $0).first.flatMap { Int($0) } }
  }

  /// The lines of a small file of the system, as far as 4 KB go; none when it cannot be read.
  private static func lines(of path: String) -> [Substring] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
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
    let numbers = lines(of: "/proc/self/statm").first?.split(separator: " ").compactMap { Int($0) } ?? []
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
