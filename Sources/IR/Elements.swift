package import Tensors

/// Moving and making elements of any type.
extension Tensor {
  /// A tensor of an integer type; values wrap around into its range, `uint64` is taken bit by bit.
  package init(_ dtype: DType, shape: [Int], wrapping values: [Int64]) throws {
    guard dtype != .uint64 else {
      try self.init(dtype, shape: shape, bytes: Tensor(values, shape: [values.count]).bytes)
      return
    }
    guard let range = dtype.integerRange else { preconditionFailure("\(dtype) is not an integer type") }
    let unused = Int64(64 - dtype.bits)
    try self.init(
      dtype, shape: shape,
      integers: values.map { value in
        range.least < 0
          ? (value << unused) >> unused : Int64(bitPattern: (UInt64(bitPattern: value) << unused) >> UInt64(unused))
      })
  }

  /// The elements of a `uint64` tensor.
  package var unsignedIntegers: [UInt64] { integers.map { UInt64(bitPattern: $0) } }

  /// The runs of `length` elements whose numbers, counted in runs, `indices` gives, one after the other.
  package func picking(_ indices: some Collection<Int>, length: Int = 1, shape: [Int]) throws -> Tensor {
    let bits = length * dtype.bits
    guard bits % 8 != 0 else {
      let size = bits / 8
      var result: [UInt8] = []
      result.reserveCapacity(indices.count * size)
      // The window of each run lies inside the bytes, as slicing checks.
      bytes.withUnsafeBytes { raw in
        for index in indices { result.append(contentsOf: raw[index * size..<(index + 1) * size]) }
      }
      return try Tensor(dtype, shape: shape, bytes: Bytes(result))
    }
    let source = bytes.array
    var result = [UInt8](repeating: 0, count: (indices.count * bits + 7) / 8)
    var target = 0
    for index in indices {
      for bit in index * bits..<(index + 1) * bits {
        result[target / 8] |= (source[bit / 8] >> UInt8(bit % 8) & 1) << UInt8(target % 8)
        target += 1
      }
    }
    return try Tensor(dtype, shape: shape, bytes: Bytes(result))
  }

  /// All elements of tensors of one type, one after the other.
  package static func flat(_ tensors: [Tensor]) throws -> Tensor {
    let count = tensors.reduce(0) { $0 + $1.elementCount }
    return try Tensor(tensors[0].dtype, shape: [count], bytes: Bytes(tensors.flatMap(\.bytes.array)))
  }
}

extension Tensor {
  /// `count` slices along `axis`, given from the front, beginning with number `start`, each `step` from the one before.
  package func slice(axis: Int, start: Int, step: Int, count: Int) throws -> Tensor {
    var shape = shape
    let size = shape[axis]
    shape[axis] = count
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    let runs = (0..<outer).flatMap { block in (0..<count).map { block * size + start + $0 * step } }
    return try picking(runs, length: inner, shape: shape)
  }
}
