import Tensors

/// Turns pairs of elements of the last dimension: the first `length` elements of each row of `x`, where `cos` and
/// `sin`, which broadcast to x in all dimensions but the last, have `length`. The other elements stay. Rounded once.
///
/// Pairs are `(i, i + length / 2)`, or `(2i, 2i + 1)` when `interleaved`.
func rotated(_ x: Tensor, cos: Tensor, sin: Tensor, interleaved: Bool) throws -> Tensor {
  let (width, length) = (x.shape[x.rank - 1], cos.shape[cos.rank - 1])
  var values = x.doubles
  let (c, s) = (cos.doubles, sin.doubles)
  let rows = Array(x.shape.dropLast())
  let strides = zip(cos.shape.dropLast(), rowMajorStrides(Array(cos.shape.dropLast()))).map { $0 == 1 ? 0 : $1 }
  for (row, table) in offsets(rows, strides: strides).enumerated() {
    for pair in 0..<length / 2 {
      let first = interleaved ? 2 * pair : pair
      let second = interleaved ? 2 * pair + 1 : pair + length / 2
      let (a, b) = (values[row * width + first], values[row * width + second])
      values[row * width + first] = a * c[table * length + first] - b * s[table * length + first]
      values[row * width + second] = b * c[table * length + second] + a * s[table * length + second]
    }
  }
  return try Tensor(x.dtype, shape: x.shape, doubles: values)
}
