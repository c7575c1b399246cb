internal import Tensors

/// The files of a distributed checkpoint: a folder `rank_N` for each device, with one checkpoint of its own, or several
/// of which the last by its numbers counts.
struct RankFolders {
  /// By rank, in order.
  let files: [(rank: Int, file: String)]

  /// Devices of all stages.
  static let maximumRankCount = 65_536
  private static let prefix = "rank_"

  /// The rank that a folder is of.
  static func rank(of name: String) -> Int? {
    guard name.hasPrefix(prefix) else { return nil }
    let digits = name.utf8.dropFirst(prefix.utf8.count)
    guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(Substring(digits))
  }

  init(path: String) throws {
    let folder = try InputFolder(path: path)
    var files: [Int: String] = [:]
    var suffixes: Set<String> = []
    for name in try folder.names() {
      guard let rank = RankFolders.rank(of: name) else { continue }
      guard rank < RankFolders.maximumRankCount else {
        throw BessemerError(
          .limit, "holds a rank \(rank), at most \(RankFolders.maximumRankCount) are read", file: path)
      }
      let inner = try InputFolder(path: folder.joined(name))
      let candidates = try inner.names().filter { $0.hasSuffix(".ckpt") || $0.hasSuffix(".safetensors") }
      guard let last = candidates.max(by: { RankFolders.order($0, $1) }) else { continue }
      suffixes.formUnion(candidates.map { $0.hasSuffix(".ckpt") ? ".ckpt" : ".safetensors" })
      guard files.updateValue(inner.joined(last), forKey: rank) == nil else {
        throw BessemerError(.duplicateName, "holds two folders of rank \(rank)", file: path)
      }
    }
    guard !files.isEmpty else { throw BessemerError(.fileMissing, "holds no checkpoint in its ranks", file: path) }
    guard suffixes.count == 1 else {
      throw BessemerError(.wrongFormat, "holds .ckpt and .safetensors files; keep one kind", file: path)
    }
    self.files = files.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Whether a file comes before another: by the last two numbers in their names, which are epoch and step.
  private static func order(_ a: String, _ b: String) -> Bool {
    let (x, y) = (numbers(a), numbers(b))
    return x == y ? TensorName(a) < TensorName(b) : x.lexicographicallyPrecedes(y)
  }

  private static func numbers(_ name: String) -> [Int] {
    let groups = name.utf8.split { !(0x30...0x39).contains($0) }
    return groups.suffix(2).map { Int(Substring($0)) ?? .max }
  }
}
