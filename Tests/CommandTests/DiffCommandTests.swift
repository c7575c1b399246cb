import Foundation
import Safetensors
import Tensors
import Testing

/// `diff` and `verify --source` as a user would try them.
struct DiffCommandTests {
  let folder: Scratch

  init() throws { folder = try Scratch() }

  private func write(_ name: String, _ tensors: [(String, Tensor)]) throws -> String {
    let entries = tensors.map { name, tensor in
      SafetensorsWriter.Entry(TensorName(name), tensor.dtype, shape: tensor.shape) { try $0.write(tensor.bytes) }
    }
    try SafetensorsWriter(entries).write(to: folder[name], overwrite: true)
    return folder[name]
  }

  private func numbers(_ shape: [Int], _ seed: Int) -> [Float] {
    (0..<shape.reduce(1, *)).map { Float(($0 &* 7919 &+ seed &* 104_729) % 1009) / 1009 - 0.5 }
  }

  private func tensor(_ shape: [Int], _ seed: Int) -> Tensor { Tensor(numbers(shape, seed), shape: shape) }

  /// A matrix of these numbers with its axes exchanged.
  private func turned(_ shape: [Int], _ seed: Int) -> Tensor {
    let all = numbers(shape, seed)
    let values = (0..<shape[1]).flatMap { column in (0..<shape[0]).map { all[$0 * shape[1] + column] } }
    return Tensor(values, shape: shape.reversed())
  }

  @Test func showsWhatDiffers() throws {
    let a = try write("a.safetensors", [("x", tensor([2, 3], 1)), ("y", tensor([4], 2)), ("z", tensor([2], 3))])
    var values = numbers([4], 2)
    values[1] += 2
    let b = try write(
      "b.safetensors", [("x", tensor([2, 3], 1)), ("y", Tensor(values, shape: [4])), ("n", tensor([2], 4))])
    let result = try Tool.run("diff", a, b)
    #expect(result.status == 1 && result.error.isEmpty)
    #expect(result.out.contains("\n-  z") && result.out.contains("\n+  n") && result.out.contains("1 of 4 changed"))
    #expect(result.out.hasSuffix("1 tensor the same, 1 removed, 1 added, 1 changed, 0 renamed\n"))
    let json = try Tool.run("diff", a, b, "--json").json
    #expect(abs((json["changed"]?[0]?["largest"]?.double ?? 0) - 2) < 1e-6 && json["equal"]?.int == 1)
    let same = try Tool.run("diff", a, a)
    #expect(same.status == 0 && same.out == "3 tensors, all the same\n")
    #expect(try Tool.run("diff", a, b, "--only", "x").status == 0)
  }

  @Test func acrossFormats() throws {
    let a = try write("a.safetensors", [("x", tensor([2, 3], 1)), ("y", tensor([4], 2))])
    for name in ["b.npz", "b.ckpt"] {
      #expect(try Tool.run("convert", a, folder[name]).status == 0)
      #expect(try Tool.run("diff", a, folder[name]).status == 0)
    }
  }

  @Test func theMapMakesTheSecondOfTheFirst() throws {
    let (m, n) = ([6, 4], [4, 6])
    let a = try write(
      "a.safetensors",
      [
        ("q", tensor(n, 1)), ("k", tensor(n, 2)), ("w", tensor(m, 3)), ("fused", tensor([8, 5], 4)),
        ("x", tensor([7], 5)),
        ("y", tensor([7], 6)), ("gone", tensor([3], 7)), ("*odd{}", tensor([9], 8)), ("same", tensor([2], 9)),
      ])
    let fused = numbers([8, 5], 4)
    let b = try write(
      "b.safetensors",
      [
        ("qk", Tensor(numbers(n, 1) + numbers(n, 2), shape: [8, 6])), ("w", turned(m, 3)),
        ("top", Tensor(Array(fused[..<15]), shape: [3, 5])), ("x", tensor([7], 6)), ("y", tensor([7], 5)),
        ("rest", Tensor(Array(fused[15...]), shape: [5, 5])), ("plain", tensor([9], 8)), ("same", tensor([2], 9)),
      ])
    let map = folder["map.yaml"]
    let result = try Tool.run("diff", a, b, "--match", "content", "--emit-map", map)
    #expect(result.status == 1 && result.error.isEmpty, "\(result.error)")
    #expect(try Tool.run("diff", a, b, "--match", "content", "--emit-map", map).status == 2)
    let converted = try Tool.run("convert", a, folder["c.safetensors"], "--map", map)
    #expect(converted.status == 0, "\(converted.error)")
    let same = try Tool.run("diff", folder["c.safetensors"], b)
    #expect(same.status == 0, "\(same.out)")
  }

  @Test func verifyTracesTensorsOrSaysUnexplained() throws {
    let source = try write(
      "a.safetensors", [("q", tensor([4, 6], 1)), ("w", tensor([6, 4], 3)), ("lost", tensor([3], 5))])
    var tensors = [("query", tensor([4, 6], 1)), ("w", turned([6, 4], 3))]
    let out = try write("b.safetensors", tensors)
    let missing = try Tool.run("verify", out, "--source", source)
    #expect(missing.status == 1 && missing.error.contains("lost") && missing.out.contains("transposed"))
    #expect(try Tool.run("verify", out, "--source", source, "--partial").status == 0)
    var values = numbers([4, 6], 1)
    values.swapAt(0, 9)
    tensors[0].1 = Tensor(values, shape: [4, 6])
    let result = try Tool.run("verify", write("c.safetensors", tensors), "--source", source, "--partial", "--json")
    #expect(result.status == 6)
    let json = try result.json
    #expect(json["ok"]?.bool == false)
    #expect(json["tensors"]?.elements.map { $0["relation"]?.string }.contains("unexplained") == true)
    #expect(try Tool.run("verify", out, "--partial").status == 2)
  }
}
