import TestSupport
import Tensors
import Testing
import Validation

/// For random models and random plans, the relation that was meant is found; after any damage, it is not.
@Suite struct RelationTests {
  @Test(arguments: 1...24) func namesTheRelationThatWasApplied(seed: UInt64) throws {
    let plan = try RelationPlan(seed: seed)
    let verification = try plan.verification(threads: seed % 2 == 0 ? 1 : 2)
    for (item, output) in zip(verification.items, plan.output) {
      #expect(item.relation.kind == output.kind, "\(output.name): \(item.relation.steps) \(item.relation.note ?? "")")
    }
    #expect(verification.missing.isEmpty && verification.items.count == plan.output.count)
  }

  enum Damage: CaseIterable { case bit, rows, rotation, zeros, exchange, copy }

  @Test(arguments: 1...12, Damage.allCases) func damageIsFound(seed: UInt64, damage: Damage) throws {
    var plan = try RelationPlan(seed: seed)
    var random = SplitMix64(seed: seed &* 977 &+ UInt64(Damage.allCases.firstIndex(of: damage) ?? 0))
    func pick(_ places: [Int]) -> Int { places[Int(random.next() % UInt64(places.count))] }
    let all = plan.output.indices.filter { plan.output[$0].kind != .scale }
    let place = pick(all)
    var touched = [place]
    let tensor = plan.output[place].tensor
    switch damage {
    case .bit:
      var bytes = tensor.bytes.array
      let index = pick(Array(bytes.indices))
      // A code that is off by one may still be within half a step of both, one that is off by two is not.
      if plan.output[place].kind == .quantized {
        bytes[index] = bytes[index] &+ (Int8(bitPattern: bytes[index]) > 0 ? 254 : 2)
      } else {
        bytes[index] ^= 1 << pick(Array(0..<8))
      }
      plan.output[place].tensor = try Tensor(tensor.dtype, shape: tensor.shape, bytes: Bytes(bytes))
    case .rows, .rotation:
      let rows = tensor.shape.dropLast().reduce(1, *)
      let size = tensor.bytes.count / rows
      var order = Array(0..<rows)
      if damage == .rows {
        order.swapAt(0, 1 + pick(Array(0..<(rows - 1))))
      } else {
        order = order.map { ($0 + 1) % rows }
      }
      let bytes = order.flatMap { tensor.bytes[($0 * size)..<(($0 + 1) * size)].array }
      plan.output[place].tensor = try Tensor(tensor.dtype, shape: tensor.shape, bytes: Bytes(bytes))
    case .zeros:
      let bytes = Bytes([UInt8](repeating: 0, count: tensor.bytes.count))
      plan.output[place].tensor = try Tensor(tensor.dtype, shape: tensor.shape, bytes: bytes)
    case .exchange, .copy:
      // Of the same kind in another layer: nothing but the names tells.
      let others = all.filter {
        $0 != place && plan.output[$0].tensor.type == tensor.type && plan.output[$0].kind == plan.output[place].kind
          && plan.output[$0].kind != .quantized && plan.output[$0].tensor != tensor
          && plan.output[$0].name.filter { !$0.isNumber } == plan.output[place].name.filter { !$0.isNumber }
      }
      guard !others.isEmpty, plan.output[place].kind != .tied else { return }
      let other = pick(others)
      plan.output[place].tensor = plan.output[other].tensor
      if damage == .exchange { plan.output[other].tensor = tensor }
      touched.append(other)
    }
    let verification = try plan.verification()
    let found = verification.items.indices.filter { verification.items[$0].relation.kind == .unexplained }
    #expect(!found.isEmpty, "\(damage) of \(plan.output[place].name)")
    for index in found where !touched.contains(index) {
      // The scales of codes that are not explained are not either.
      #expect(plan.output[index].kind == .scale || plan.output[index].kind == .tied, "\(plan.output[index].name)")
    }
  }

  @Test func whatIsLostIsMissing() throws {
    var plan = try RelationPlan(seed: 5)
    let index = try #require(plan.output.lastIndex { $0.kind == .cast || $0.kind == .identical })
    let name = plan.output.remove(at: index).name
    let missing = try plan.verification().missing
    #expect(missing.count == 1 && !missing[0].isPartial, "\(name)")
  }

  @Test func castsAreCounted() throws {
    let values = Tensor([1, 0.1, 70_000, -80_000, .nan, 0], shape: [6])
    let result = try Verification(
      [RelationPlan.entry("a", values.cast(to: .float16))], source: [RelationPlan.entry("a", values, file: "s")],
      threads: 1)
    let losses = result.items[0].relation.losses.total
    #expect(result.items[0].relation.kind == .cast)
    #expect(losses.changed == 3 && losses.overflowed == 2 && losses.nanCount == 1)
  }

  @Test(arguments: [(4, 2), (2, 4), (8, 1)]) func wrongHeadsAreNotTheRightOnes(heads: Int, wrong: Int) throws {
    var random = SplitMix64(seed: 3)
    let matrix = Matrix(32, 16, &random)
    let turned = matrix.picking(RelationPlan.pairs(heads: heads, depth: 32 / heads))
    let result = try Verification(
      [RelationPlan.entry("q", turned.tensor())], source: [RelationPlan.entry("q", matrix.tensor(), file: "s")],
      threads: 1)
    #expect(result.items[0].relation.kind == .permuted)
    #expect(result.items[0].relation.steps == ["rotary halves to pairs, heads=\(heads)"])
    #expect(!result.items[0].relation.steps[0].hasSuffix("heads=\(wrong)"))
  }
}
