import CKernels
import IR
import Tensors

// Images lie in memory as [batch, height, width, channels] and are looked at as [batch, channels, height, width].

extension View {
  /// The pixels one after the other, each with its channels: what image kernels read.
  fileprivate var channelsLast: View { transposed([0, 2, 3, 1]) }
}

extension Planner {
  /// An image as kernels read it, copied unless it lies so.
  fileprivate mutating func image(_ value: ValueID) throws -> View { contiguous(try floatView(value).channelsLast) }

  /// Memory for the image `value`, [batch, height, width, channels].
  fileprivate mutating func allocateImage(_ value: ValueID) -> View {
    let shape = shape(value)
    return allocate(.float32, shape: [shape[0], shape[2], shape[3], shape[1]])
  }

  fileprivate mutating func finishImage(_ value: ValueID, _ image: View) throws {
    try finish(value, image.transposed([0, 3, 1, 2]))
  }

  /// The only node that reads a float32 value, if that is an operator of this kind.
  fileprivate func onlyUser<T: Op>(of value: ValueID, as _: T.Type) -> (node: Node, op: T)? {
    guard dtype(value) == .float32, graph.hasOneUse(value), let id = graph.users(of: value).first,
      let op = graph[id].op as? T
    else { return nil }
    return (graph[id], op)
  }
}

extension UpsampleNearest: Kernel {
  /// Nothing is computed for a convolution, which reads each pixel as often as it takes.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard let (reader, convolution) = planner.onlyUser(of: node.results[0], as: Conv2D.self),
      reader.operands[0] == node.results[0], convolution.groups == 1,
      planner.model.parameters.isParameter(reader.operands[1])
    else { return false }
    return true
  }
}

extension Conv2D: Kernel {
  /// Takes in an upsampling before it, and a sum with what is known by now after it.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    guard groups == 1, planner.isFloat(node.operands[0]), planner.model.parameters.isParameter(node.operands[1]) else {
      return false
    }
    var (input, factor) = (node.operands[0], 1)
    if planner.known(input) == nil, let (upsample, op) = planner.graph.producer(of: input, as: UpsampleNearest.self) {
      (input, factor) = (upsample.operands[0], op.factor)
    }
    let filter = try planner.model.parameters.filter(node.operands[1])
    let x = try planner.image(input)
    let bias = try node.operands.count > 2 ? planner.contiguous(planner.floatView(node.operands[2])) : nil
    let sum = planner.imageSum(of: node.results[0])
    let result = sum?.result ?? node.results[0]
    let y = planner.allocateImage(result)
    let kernel = planner.shape(node.operands[1])
    let (pool, compute) = (planner.pool, planner.compute)
    planner.addStep("conv2d", reads: [x] + [bias, sum?.addend].compactMap { $0 }, writes: [y]) { arena in
      var arguments = bk_conv2d_args()
      (arguments.batch, arguments.height, arguments.width, arguments.channels) = (
        x.shape[0], x.shape[1], x.shape[2], x.shape[3]
      )
      (arguments.out_height, arguments.out_width, arguments.outputs) = (y.shape[1], y.shape[2], y.shape[3])
      (arguments.kernel_height, arguments.kernel_width) = (kernel[2], kernel[3])
      arguments.stride = (strides[0], strides[1])
      arguments.dilation = (dilations[0], dilations[1])
      arguments.padding = (pads[0], pads[1])
      arguments.factor = factor
      arguments.x = UnsafePointer(arena.floats(x))
      arguments.w = filter.parts[0].bytes.withUnsafeBytes { $0.baseAddress }
      (arguments.w_type, arguments.compute) = (filter.dtype, compute)
      arguments.bias = bias.map { UnsafePointer(arena.floats($0)) }
      arguments.residual = sum.map { UnsafePointer(arena.floats($0.addend)) }
      arguments.y = arena.floats(y)
      return { [arguments] in try withUnsafePointer(to: arguments) { try check(bk_conv2d(pool, $0)) } }
    }
    try planner.finishImage(result, y)
    return true
  }
}

extension Planner {
  /// The sum of an image and another that is known by now and lies like it, when nothing else reads the image.
  fileprivate func imageSum(of value: ValueID) -> (result: ValueID, addend: View)? {
    guard let (node, _) = onlyUser(of: value, as: Add.self), let other = node.operands.first(where: { $0 != value }),
      shape(other) == shape(value), let addend = known(other)?.channelsLast, addend.dtype == .float32,
      addend.isContiguous
    else { return nil }
    return (node.results[0], addend)
  }
}

extension GroupNorm: Kernel {
  /// Takes in the silu that alone reads the result.
  func plan(_ node: Node, in planner: inout Planner) throws -> Bool {
    let shape = planner.shape(node.operands[0])
    guard planner.isFloat(node.operands[0]), shape.count == 4 else { return false }
    let x = try planner.image(node.operands[0])
    let vectors = try node.operands.dropFirst().map { planner.contiguous(try planner.floatView($0)) }
    let silu = planner.onlyUser(of: node.results[0], as: Silu.self)
    let result = silu?.node.results[0] ?? node.results[0]
    let y = planner.allocateImage(result)
    let (pool, epsilon, groups, isSilu) = (planner.pool, Float(epsilon), groups, silu != nil)
    planner.addStep("group_norm", reads: [x] + vectors, writes: [y]) { arena in
      let (input, output) = (arena.floats(x), arena.floats(y))
      let parameters = vectors.map { UnsafePointer(arena.floats($0)) }
      return {
        try check(
          bk_group_norm(
            pool, output, input, shape[0], shape[2] * shape[3], shape[1], groups, parameters.first,
            parameters.count > 1 ? parameters[1] : nil, epsilon, isSilu))
      }
    }
    try planner.finishImage(result, y)
    return true
  }
}
