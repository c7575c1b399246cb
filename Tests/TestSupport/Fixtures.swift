import Foundation
public import Tensors

/// The files under `fixtures/`, found from this file's own place.
public enum Fixtures {
  public static let folder: String = {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)
    return parts.joined(separator: "/") + "/fixtures"
  }()

  /// The names of the files in a folder with a suffix, `.json`, in order; never none.
  public static func names(_ path: String, suffix: String) -> [String] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/" + path)) ?? []
    let names = all.filter { $0.hasSuffix(suffix) }.sorted()
    precondition(!names.isEmpty, "no fixtures in \(path)")
    return names
  }

  public static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + path)))
  }

  public static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

  public static func json(_ path: String) throws -> JSON { try JSON.parse(try bytes(path)) }
}

extension Tensor {
  /// `{"dtype": "f32", "shape": [2], "values": [1.5, "nan"]}`: numbers, `"nan"`, `"inf"`, `"-inf"`, and whole numbers
  /// beyond 53 bits as strings.
  public init(json: JSON) throws {
    let name = try json.required("dtype").asString()
    guard let dtype = DType(rawValue: name) else { throw json.mismatch("a dtype") }
    let shape = try json.required("shape").asArray().map { try $0.asInt() }
    let values = try json.required("values").asArray().map { $0 }
    if dtype == .uint64 {
      let integers = try values.map { value -> Int64 in
        guard let n = value.uint64 ?? value.string.flatMap({ UInt64($0) }) else { throw value.mismatch("a number") }
        return Int64(bitPattern: n)
      }
      try self.init(dtype, shape: shape, bytes: Tensor(integers, shape: [integers.count]).bytes)
    } else if dtype.isInteger {
      let integers = try values.map { value -> Int64 in
        guard let n = value.int ?? value.string.flatMap({ Int($0) }) else { throw value.mismatch("a number") }
        return Int64(n)
      }
      try self.init(dtype, shape: shape, integers: integers)
    } else {
      let doubles = try values.map { value -> Double in
        guard let x = value.double ?? value.string.flatMap({ Double($0) }) else { throw value.mismatch("a number") }
        return x
      }
      try self.init(dtype, shape: shape, doubles: doubles)
    }
  }
}
