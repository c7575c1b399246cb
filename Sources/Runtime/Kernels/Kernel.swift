import CKernels
import IR
import Tensors

/// An operator that has a fast form. One operator, or a family with one kernel, is one file.
protocol Kernel: Op {
  /// Whether operands and results may be of types below a byte; else those are left to the plain meaning.
  static var takesSmallTypes: Bool { get }
  /// Appends the steps that compute the node's results, or answers false to leave the node to the operator's plain
  /// meaning.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool
}

extension Kernel {
  static var takesSmallTypes: Bool { false }
}

extension Planner {
  /// Appends the steps of a node.
  mutating func add(_ node: Node) throws {
    // A node before it may have taken it in.
    if node.results.allSatisfy({ known($0) != nil }) { return }
    let areMovable = (node.operands + node.results).allSatisfy { dtype($0).isMovable }
    if let kernel = node.op as? any Kernel, areMovable || Swift.type(of: kernel).takesSmallTypes,
      try kernel.plan(node, in: &self)
    {
      return
    }
    try addReference(node)
  }

  /// Runs the operator's plain meaning: for what is small or rare.
  private mutating func addReference(_ node: Node) throws {
    let operands = try node.operands.map { contiguous(try view($0)) }
    let results = node.results.map { allocate(dtype($0), shape: shape($0)) }
    let op = node.op
    addStep(Swift.type(of: op).schema.name, reads: operands, writes: results) { arena in
      let inputs = operands.map { (view: $0, pointer: arena.pointer($0)) }
      let outputs = results.map { (view: $0, pointer: arena.pointer($0)) }
      return {
        // The bytes lie in the arena, which outlives the step.
        let tensors = try inputs.map {
          try Tensor(
            $0.view.dtype, shape: $0.view.shape, bytes: Bytes(owner: nil, base: $0.pointer, count: $0.view.byteCount))
        }
        for (tensor, output) in zip(try op.evaluate(tensors), outputs) {
          tensor.bytes.withUnsafeBytes {
            if $0.count > 0 { output.pointer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
          }
        }
      }
    }
    for (value, view) in zip(node.results, results) { define(value, view) }
  }

  /// Whether a value is of a type that kernels compute in, or convert.
  func isFloat(_ value: ValueID) -> Bool { bk_dtype(dtype(value)) != nil }
}

extension DType {
  /// Whether kernels can copy single elements: types below a byte and above eight only run by the plain meaning.
  var isMovable: Bool { bits >= 8 && bits <= 64 }
}
