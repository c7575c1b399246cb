import CKernels
import IR
import Tensors

// Inputs quantized when the model runs, and products with weights that stay in their few bits.

extension Ascend.DynamicQuant: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows else { return false }
    let y = planner.allocate(dtype, shape: x.shape)
    let scale = planner.allocate(.float32, shape: planner.shape(node.results[1]))
    let pool = planner.pool
    var arguments = bk_quant_rows(
      dtype == .int8 ? BK_DYNAMIC_INT8 : BK_DYNAMIC_E4M3, rows: rows, limit: Float(limit), divides: divides)
    planner.addStep("dynamic_quant", reads: [x], writes: [y, scale]) { arena in
      arguments.x = UnsafePointer(arena.floats(x))
      (arguments.codes, arguments.scales) = (arena.pointer(y), arena.floats(scale))
      return { [arguments] in try withUnsafePointer(to: arguments) { try check(bk_quantize_rows(pool, $0)) } }
    }
    planner.define(node.results[0], y)
    planner.define(node.results[1], scale)
    return true
  }
}

extension Ascend.DynamicMxQuant: Kernel {
  static var takesSmallTypes: Bool { true }

  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows else { return false }
    let y = planner.allocate(dtype, shape: x.shape)
    let scale = planner.allocate(.float8e8m0, shape: planner.shape(node.results[1]))
    let pool = planner.pool
    var arguments = bk_quant_rows(dtype == .float4e2m1 ? BK_DYNAMIC_MX_E2M1 : BK_DYNAMIC_MX_E4M3, rows: rows)
    planner.addStep("dynamic_mx_quant", reads: [x], writes: [y, scale]) { arena in
      arguments.x = UnsafePointer(arena.floats(x))
      arguments.codes = arena.pointer(y)
      arguments.exponents = arena.pointer(scale).assumingMemoryBound(to: UInt8.self)
      return { [arguments] in try withUnsafePointer(to: arguments) { try check(bk_quantize_rows(pool, $0)) } }
    }
    planner.define(node.results[0], y)
    planner.define(node.results[1], scale)
    return true
  }
}

extension Ascend.AscendQuantV2: Kernel {
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.isFloat(node.operands[0]) else { return false }
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows else { return false }
    let (scale, offset) = (try planner.floatView(node.operands[1]), try planner.floatView(node.operands[2]))
    let y = planner.allocate(.int8, shape: x.shape)
    let pool = planner.pool
    var arguments = bk_quant_rows(BK_STATIC_INT8, rows: rows)
    arguments.half = planner.dtype(node.operands[0]) == .float16
    planner.addStep("static_quant", reads: [x, scale, offset], writes: [y]) { arena in
      arguments.x = UnsafePointer(arena.floats(x))
      arguments.codes = arena.pointer(y)
      let (factor, shift) = (arena.floats(scale), arena.floats(offset))
      return { [arguments] in
        var arguments = arguments
        (arguments.scale, arguments.offset) =
          arguments.half ? (Float(Float16(factor[0])), Float(Float16(shift[0]))) : (factor[0], shift[0])
        try check(bk_quantize_rows(pool, &arguments))
      }
    }
    planner.define(node.results[0], y)
    return true
  }
}

extension Ascend.QuantBatchMatmulV3: Kernel {
  static var takesSmallTypes: Bool { true }

  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let operands = node.operands
    guard planner.model.parameters.isParameter(operands[1]) else { return false }
    let codes = try planner.model.parameters.codes(operands[1])
    let (isWhole, isBlocked) = (planner.dtype(operands[0]) == .int8, planner.dtype(operands[2]) == .float8e8m0)
    let x = planner.contiguous(try planner.view(operands[0]))
    let scale = planner.contiguous(try isBlocked ? planner.view(operands[2]) : planner.floatView(operands[2]))
    let token = planner.contiguous(try isBlocked ? planner.view(operands[3]) : planner.floatView(operands[3]))
    let bias = try operands.count > 4 ? planner.contiguous(planner.view(operands[4])) : nil
    let count = x.shape.dropLast().reduce(1, *)
    let y = planner.allocateFloat(node.results[0])
    let wide = isWhole ? nil : planner.allocate(.float32, shape: [count, codes.columns])
    // Scales with fewer bits, and one scale for all rows spread to each.
    let short = shortScale && !isBlocked ? planner.allocate(.float32, shape: scale.shape) : nil
    let spread = !isBlocked && token.elementCount != count ? planner.allocate(.float32, shape: [count]) : nil
    let pool = planner.pool
    let groups = scale.shape[1]
    planner.addStep(
      "quant_matmul", reads: [x, scale, token] + [bias].compactMap { $0 },
      writes: [y] + [wide, short, spread].compactMap { $0 }
    ) { arena in
      var arguments = bk_quant_linear()
      (arguments.m, arguments.w, arguments.w.groups) = (count, codes, groups)
      (arguments.y, arguments.y_stride) = (arena.floats(y), codes.rows)
      if let bias {
        if bias.dtype == .int32 {
          arguments.whole_bias = UnsafePointer(arena.pointer(bias).assumingMemoryBound(to: Int32.self))
        } else {
          arguments.bias = UnsafePointer(arena.floats(bias))
        }
      }
      var input = bk_codes()
      if let wide {
        input = bk_codes(x.dtype, rows: count, columns: codes.columns, arena.pointer(x))
        (arguments.wide_x, arguments.x_stride) = (UnsafePointer(arena.floats(wide)), codes.columns)
      } else {
        arguments.x = UnsafePointer(arena.pointer(x).assumingMemoryBound(to: Int8.self))
      }
      if isBlocked {
        input.exponents = UnsafePointer(arena.pointer(token).assumingMemoryBound(to: UInt8.self))
        arguments.w.exponents = UnsafePointer(arena.pointer(scale).assumingMemoryBound(to: UInt8.self))
      } else {
        let scales = UnsafePointer(arena.floats(short ?? scale))
        if isWhole { arguments.w.scales = scales } else { arguments.out_scales = scales }
        arguments.tokens = UnsafePointer(arena.floats(spread ?? token))
      }
      let (all, cut) = (arena.floats(scale), short.map { arena.floats($0) })
      let (one, many) = (arena.floats(token), spread.map { arena.floats($0) })
      let target = wide.map { arena.floats($0) }
      return { [arguments, input] in
        if let cut {
          for k in 0..<scale.elementCount { cut[k] = Float(bitPattern: all[k].bitPattern & 0xFFFF_E000) }
        }
        many?.update(repeating: one[0], count: count)
        if let target { withUnsafePointer(to: input) { bk_widen_codes(pool, $0, target) } }
        try withUnsafePointer(to: arguments) { try check(bk_linear_quantized(pool, $0)) }
      }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

extension Ascend.WeightQuantBatchMatmulV2: Kernel {
  static var takesSmallTypes: Bool { true }

  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard planner.model.parameters.isParameter(node.operands[1]) else { return false }
    let codes = try planner.model.parameters.codes(node.operands[1])
    let x = planner.inRows(try planner.floatView(node.operands[0]))
    guard let rows = x.rows, let rounding = bk_dtype(planner.dtype(node.operands[0])) else { return false }
    let scale = planner.contiguous(try planner.floatView(node.operands[2]))
    let offset = planner.contiguous(try planner.floatView(node.operands[3]))
    let y = planner.allocateFloat(node.results[0])
    let pool = planner.pool
    planner.addStep("weight_quant_matmul", reads: [x, scale, offset], writes: [y]) { arena in
      var arguments = bk_quant_linear()
      (arguments.m, arguments.wide_x, arguments.x_stride) = (rows.count, UnsafePointer(arena.floats(x)), rows.stride)
      (arguments.w, arguments.w.groups, arguments.w.rounding) = (codes, scale.shape[1], rounding)
      arguments.w.scales = UnsafePointer(arena.floats(scale))
      arguments.w.offsets = UnsafePointer(arena.floats(offset))
      (arguments.y, arguments.y_stride) = (arena.floats(y), codes.rows)
      return { [arguments] in try withUnsafePointer(to: arguments) { try check(bk_linear_quantized(pool, $0)) } }
    }
    try planner.finish(node.results[0], y)
    return true
  }
}

extension Parameters {
  /// The codes of a weight as they lie in the mapping, without scales.
  func codes(_ value: ValueID) throws -> bk_codes {
    let tensor = try tensor(value)
    let arePairs = tensor.rank == 3
    // The tensor is kept as long as the model, and its bytes with it.
    var codes = bk_codes(
      tensor.dtype, rows: arePairs ? 2 * tensor.shape[0] : tensor.shape[0], columns: tensor.shape[1],
      tensor.bytes.withUnsafeBytes { $0.baseAddress })
    if arePairs { codes.type = BK_CODES_INT4_PAIRS }
    return codes
  }
}

extension bk_codes {
  /// Codes without scales.
  init(_ dtype: DType, rows: Int, columns: Int, _ data: UnsafeRawPointer?) {
    self.init()
    let type: bk_code_type =
      switch dtype {
      case .int4: BK_CODES_INT4
      case .float8e4m3fn: BK_CODES_E4M3
      case .float4e2m1: BK_CODES_E2M1
      default: BK_CODES_INT8
      }
    (self.type, self.rows, self.columns, self.data) = (type, rows, columns, data)
    groups = 1
  }
}

extension bk_quant_rows {
  init(_ what: bk_row_codes, rows: (count: Int, width: Int, stride: Int), limit: Float = 0, divides: Bool = false) {
    self.init()
    (self.what, self.rows, k, x_stride) = (what, rows.count, rows.width, rows.stride)
    (self.limit, self.divides) = (limit, divides)
  }
}
