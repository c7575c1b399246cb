import CKernels
import IR
import Tensors

extension QuantizedMixtureOfExperts: Kernel {
  static var takesSmallTypes: Bool { true }

  /// Takes the rows that go to one expert together through its matrices, as ``MixtureOfExperts`` does.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let operands = node.operands
    let parameters = planner.model.parameters
    guard planner.isFloat(operands[0]), planner.isFloat(operands[1]), planner.dtype(operands[2]) == .int64,
      operands[MixtureOfExperts.firstExpert...].allSatisfy(parameters.isParameter), activation != .none
    else { return false }
    let x = planner.inRows(try planner.floatView(operands[0]))
    let weights = planner.contiguous(try planner.floatView(operands[1]))
    let indices = planner.contiguous(try planner.view(operands[2]))
    guard let rows = x.rows, rows.count > 0, let chosen = indices.shape.last else { return false }
    let count = expertCount(operands.count)
    let width = try parameters.codes(operands[self.operands(0, 0).lowerBound]).rows
    // The rows of one expert and what it makes of them; then room for their codes, their scales and the codes widened.
    let gathered = planner.allocate(.float32, shape: [rows.count, rows.width])
    let hidden = planner.allocate(.float32, shape: [2, rows.count, width])
    let widest = max(rows.width, width)
    let codes = planner.allocate(.int8, shape: [rows.count, widest])
    let scales = planner.allocate(.float32, shape: [rows.count, (widest + 31) / 32])
    let wide = planner.allocate(.float32, shape: [rows.count, widest])
    let y = planner.allocateFloat(node.results[0])
    let (pool, unary) = (planner.pool, activation.unary)
    planner.addStep(
      "quantized_mixture_of_experts", reads: [x, weights, indices], writes: [gathered, hidden, codes, scales, wide, y]
    ) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      let (block, gate, shares) = (arena.floats(gathered), arena.floats(hidden), arena.floats(weights))
      let up = gate + rows.count * width
      let room = QuantizedProduct.Room(
        codes: arena.pointer(codes), scales: arena.floats(scales), wide: arena.floats(wide))
      let numbers = UnsafeBufferPointer(
        start: arena.pointer(indices).assumingMemoryBound(to: Int64.self), count: indices.elementCount)
      func product(_ expert: Int, _ matrix: Int) throws -> QuantizedProduct {
        try QuantizedProduct(
          matrix == 2 ? outer : inner, arithmetic, operands[self.operands(expert, matrix)], parameters, room)
      }
      return {
        output.update(repeating: 0, count: rows.count * rows.width)
        let places = try Places(numbers, experts: count, mostAtOnce: rows.count)
        for (expert, places) in places.runs {
          for (k, place) in places.enumerated() {
            (block + k * rows.width).update(from: input + place / chosen * rows.stride, count: rows.width)
          }
          try product(expert, 0).multiply(pool, block, count: places.count, to: gate)
          try product(expert, 1).multiply(pool, block, count: places.count, to: up)
          try check(bk_unary(pool, unary, gate, gate, places.count * width))
          for k in 0..<places.count * width { gate[k] *= up[k] }
          try product(expert, 2).multiply(pool, gate, count: places.count, to: block)
          for (k, place) in places.enumerated() {
            let (sum, term, share) = (output + place / chosen * rows.width, block + k * rows.width, shares[place])
            for i in 0..<rows.width { sum[i] += share * term[i] }
          }
        }
      }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

/// A matrix of an expert, and how rows are multiplied with it.
private struct QuantizedProduct {
  /// Memory for what is made of the rows.
  struct Room {
    let codes: UnsafeMutableRawPointer
    let scales: UnsafeMutablePointer<Float>
    let wide: UnsafeMutablePointer<Float>
  }

  private let scheme: QuantizedScheme
  private let arithmetic: QuantizedArithmetic
  private let room: Room
  private var weight: bk_codes
  private var outScales: UnsafePointer<Float>?

  init(
    _ scheme: QuantizedScheme, _ arithmetic: QuantizedArithmetic, _ operands: ArraySlice<ValueID>,
    _ parameters: Parameters, _ room: Room
  ) throws {
    let operands = Array(operands)
    (self.scheme, self.arithmetic, self.room) = (scheme, arithmetic, room)
    weight = try parameters.codes(operands[0])
    // All of these tensors are kept as long as the model.
    if scheme.isBlocked {
      weight.exponents = try parameters.tensor(operands[1]).bytes.withUnsafeBytes {
        $0.bindMemory(to: UInt8.self).baseAddress
      }
      return
    }
    func floats(_ tensor: Tensor) -> UnsafePointer<Float>? {
      tensor.bytes.withUnsafeBytes { $0.bindMemory(to: Float.self).baseAddress }
    }
    let isShort = arithmetic == .p310 && !scheme.keepsInputs
    let scales = try floats(
      isShort
        ? parameters.vector(operands[1]) { Float(bitPattern: $0.bitPattern & 0xFFFF_E000) }
        : parameters.vector(operands[1]))
    weight.groups = try parameters.tensor(operands[1]).shape[1]
    if scheme == .fp8 { outScales = scales } else { weight.scales = scales }
    if scheme.keepsInputs {
      let sign: Float = scheme.addsOffset ? 1 : -1
      weight.offsets = try floats(parameters.vector(operands[2]) { sign * $0 })
    }
  }

  /// `y = x · Wᵀ` for rows that lie one after the other; y must not overlap x.
  func multiply(
    _ pool: OpaquePointer?, _ x: UnsafeMutablePointer<Float>, count: Int, to y: UnsafeMutablePointer<Float>
  ) throws {
    let isHalf = arithmetic == .p310
    if isHalf { round(x, count * weight.columns) }
    var arguments = bk_quant_linear()
    (arguments.m, arguments.w, arguments.out_scales) = (count, weight, outScales)
    (arguments.y, arguments.y_stride, arguments.x_stride) = (y, weight.rows, weight.columns)
    if scheme.keepsInputs {
      arguments.wide_x = UnsafePointer(x)
      arguments.w.rounding = isHalf ? BK_F16 : BK_F32
    } else {
      try quantize(pool, x, count, &arguments)
    }
    try check(bk_linear_quantized(pool, &arguments))
    if isHalf { round(y, count * weight.rows) }
  }

  private func quantize(
    _ pool: OpaquePointer?, _ x: UnsafePointer<Float>, _ count: Int, _ arguments: inout bk_quant_linear
  ) throws {
    let (what, limit): (bk_row_codes, Float) =
      switch scheme {
      case .fp8: (BK_DYNAMIC_E4M3, 448)
      case .mxfp8, .w4a8MX: (BK_DYNAMIC_MX_E4M3, 0)
      case .mxfp4: (BK_DYNAMIC_MX_E2M1, 0)
      case .w4a4Dynamic: (BK_DYNAMIC_INT8, 7)
      default: (BK_DYNAMIC_INT8, 127)
      }
    let columns = weight.columns
    var rows = bk_quant_rows(what, rows: (count, columns, columns), limit: limit, divides: arithmetic == .a5)
    let exponents = UnsafeMutableRawPointer(room.scales).assumingMemoryBound(to: UInt8.self)
    (rows.x, rows.codes, rows.scales, rows.exponents) = (x, room.codes, room.scales, exponents)
    try check(bk_quantize_rows(pool, &rows))
    if !scheme.isBlocked { arguments.tokens = UnsafePointer(room.scales) }
    guard what != BK_DYNAMIC_INT8 else {
      arguments.x = UnsafePointer(room.codes.assumingMemoryBound(to: Int8.self))
      return
    }
    var codes = bk_codes(
      what == BK_DYNAMIC_MX_E2M1 ? .float4e2m1 : .float8e4m3fn, rows: count, columns: columns, room.codes)
    if scheme.isBlocked { codes.exponents = UnsafePointer(exponents) }
    bk_widen_codes(pool, &codes, room.wide)
    arguments.wide_x = UnsafePointer(room.wide)
  }

  /// Rounds to float16 in place.
  private func round(_ x: UnsafeMutablePointer<Float>, _ count: Int) {
    for k in 0..<count { x[k] = Float(Float16(x[k])) }
  }
}

extension Activation {
  fileprivate var unary: bk_unary_op {
    switch self {
    case .none, .relu: BK_UNARY_RELU
    case .gelu: BK_UNARY_GELU_ERF
    case .geluTanh: BK_UNARY_GELU_TANH
    case .silu: BK_UNARY_SILU
    case .tanh: BK_UNARY_TANH
    }
  }
}
