import Foundation
import IR
import TestSupport
import Tensors
import Testing

@testable import Runtime

/// What of a mapped file is read.
@Suite struct MappingTests {
  private static let (width, inner, experts) = (512, 512, 16)

  /// A mixture whose experts lie one after the other in a mapped file, 1.5 MB each.
  private func mixture(_ path: String) throws -> (graph: Graph, weights: TensorStore, file: Bytes) {
    let size = Self.width * Self.inner * 2
    try Scratch.put(path, [UInt8](repeating: 0, count: size * 3 * Self.experts))
    let file = try InputFile(path: path).map().bytes
    var (graph, weights) = (Graph(name: "experts"), TensorStore())
    let x = graph.addInput("x", TensorType(.float32, [1, .known(Self.width)]))
    let shares = graph.addInput("weights", TensorType(.float32, [1, 2]))
    let indices = graph.addInput("indices", TensorType(.int64, [1, 2]))
    var operands = [x, shares, indices]
    for k in 0..<3 * Self.experts {
      let name = TensorName("w\(k)")
      try weights.append(
        name, Tensor(.bfloat16, shape: [Self.width, Self.inner], bytes: file[k * size..<(k + 1) * size]))
      operands.append(try graph.add(Weight(name, .bfloat16, shape: [Self.width, Self.inner]))[0])
    }
    graph.addOutput("y", try graph.add(MixtureOfExperts(), operands)[0])
    return (graph, weights, file)
  }

  /// Bytes of the file that this process has touched, by what the kernel says of its mappings.
  private func touched(_ path: String) throws -> Int {
    // Of a file without a size a string would get the first page alone.
    let data = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/smaps")).readToEnd() ?? Data()
    let maps = String(decoding: data, as: UTF8.self).split(separator: "\n")
    var total = 0
    var isOwn = false
    for line in maps {
      if line.contains("-"), line.first?.isHexDigit == true, !line.hasPrefix("Anon") { isOwn = line.hasSuffix(path) }
      if isOwn, line.hasPrefix("Rss:") { total += (Int(line.split(separator: " ")[1]) ?? 0) * 1024 }
    }
    return total
  }

  @Test(arguments: [0, Int.max], [RunOptions.Compute.float32, .bfloat16])
  func expertsThatNoRowGoesToAreNotRead(_ packLimit: Int, _ compute: RunOptions.Compute) throws {
    let scratch = Scratch()
    let path = scratch("experts.bin")
    let (graph, weights, file) = try mixture(path)
    let model = Model(graph, weights: weights, options: RunOptions(threads: 1, compute: compute, packLimit: packLimit))
    let before = try touched(path)
    let inputs = [
      "x": Tensor([Float](repeating: 1, count: Self.width), shape: [1, Self.width]),
      "weights": Tensor([Float(0.5), 0.5], shape: [1, 2]), "indices": Tensor([Int64(3), 11], shape: [1, 2]),
    ]
    _ = try Session(model).run(inputs)
    let expert = 3 * Self.width * Self.inner * 2
    let read = try touched(path) - before
    // The kernel maps pages of 2 MB at most, those that hold what is asked for and a few small ones beside them.
    let page = 2 << 20
    let most = [3, 11].reduce(0) { sum, k in
      sum + ((k + 1) * expert + page - 1) / page * page - k * expert / page * page
    }
    #expect(read < most + expert / 2, "\(read) bytes of \(file.count) were touched")
    // In the mapping the matrices cost no memory; what was packed has given its pages back.
    let packed = model.parameterByteCount
    if packLimit == 0 {
      #expect(packed == 0 && read >= 2 * expert, "\(packed) bytes were packed, \(read) touched")
    } else {
      #expect((2 * expert..<3 * expert).contains(packed) && read < expert, "\(packed) were packed, \(read) touched")
    }
  }

  @Test(arguments: [TinyModel.llama, .glm4], [RunOptions.Compute.float32, .bfloat16])
  func joinedWeightsRunFromTheMapping(_ kind: TinyModel, _ compute: RunOptions.Compute) throws {
    let packed = try SessionTests.model(kind, compute: compute)
    let mapped = try SessionTests.model(kind, packLimit: 0, compute: .float32)
    let input = ["input_ids": Tensor([Int64(3), 1, 4, 1, 5], shape: [1, 5])]
    let (a, b) = (
      try #require(try Session(packed).run(input)["logits"]), try #require(try Session(mapped).run(input)["logits"])
    )
    let scale = a.doubles.map(abs).max() ?? 1
    let error = zip(a.doubles, b.doubles).map { abs($0 - $1) }.max() ?? 1
    #expect(error <= (compute == .float32 ? 1e-5 : 3e-2) * scale)
    #expect(mapped.parameterByteCount < packed.parameterByteCount)
  }
}
