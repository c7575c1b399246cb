public import Tensors

/// Finds the codes of the layers that read one value, by what is known of that value.
public struct CodeSolver {
  private enum Algorithm {
    case gptq(GPTQ, InverseFactor)
    case rounding(RoundingSearch, OutputLoss)
  }

  private let algorithm: Algorithm
  private let threads: KernelThreads

  /// - Parameter module: one of the layers, for messages.
  /// - Throws: ``ErrorCode/modelInput`` when the moments say too little.
  public init(_ method: WeightMethod, _ moments: SecondMoments, module: String, _ threads: KernelThreads) throws {
    self.threads = threads
    switch method {
    case .gptq(let gptq):
      algorithm = .gptq(gptq, try moments.inverseFactor(damping: gptq.damping, module: module, threads))
    case .autoround(let search): algorithm = .rounding(search, try OutputLoss(moments, threads, costs: false))
    default: preconditionFailure("\(method) needs no data")
    }
  }

  /// The codes of a layer's weight. Throws ``ErrorCode/weights`` for NaN and infinity.
  public func codes(_ weight: Tensor, module: String, _ scheme: any LinearScheme) throws -> StoredCodes {
    guard case .whole(let bits, let isSymmetric) = scheme.grid else {
      preconditionFailure("\(scheme.name) stores no whole numbers")
    }
    let linear = try LinearWeight(module: module, weight.dtype, shape: weight.shape)
    let grid = WholeGrid(bits: bits, group: scheme.groupSize, isSymmetric: isSymmetric)
    switch algorithm {
    case .gptq(let gptq, let factor): return try gptq.solve(linear, Matrix(weight), factor, grid, threads)
    case .rounding(let search, let loss):
      let rows = WeightRows(linear, 0..<linear.rows, bytes: weight.bytes)
      let found = try WeightCodes.whole(rows, bits: bits, group: grid.group, symmetric: isSymmetric)
      let nearest = StoredCodes(codes: found.codes, scales: found.scales, offsets: found.offsets)
      return try search.solve(Matrix(weight), weight.dtype, nearest: nearest, loss, grid)
    }
  }
}
