internal import Tensors

/// How a parameter lies on the devices of a pipeline stage.
///
/// Devices form a matrix whose last axis varies fastest with the rank; axes are counted from the last one. Each
/// dimension of the parameter is cut along some axes, the first of which is the most significant, or not at all. What a
/// device then holds may be cut once more, along dimension 0, for the optimizer: among the devices along axes that cut
/// nothing, counted from the last axis on.
struct ParameterLayout: Hashable, Sendable {
  /// Devices along each axis.
  let devices: [Int]
  /// For each dimension the axes that cut it.
  let axes: [[Int]]
  /// Parts for the optimizer; 1 where there are none.
  let optimizerPartCount: Int

  /// Axes of a matrix of devices, and dimensions of a parameter.
  static let maximumRank = 32
  /// Devices of a stage.
  static let maximumDeviceCount = 1 << 20

  /// `optimizerSize` is the number of parts for the optimizer: 0 for none, -1 for as many as there are.
  init(devices: [Int], axes: [[Int]], optimizerSize: Int) throws {
    func refuse(_ what: String) -> BessemerError { BessemerError(.strategy, what) }
    guard devices.count <= Self.maximumRank, axes.count <= Self.maximumRank else {
      throw BessemerError(.limit, "more than \(Self.maximumRank) axes of devices, or dimensions")
    }
    var deviceCount = 1
    for size in devices {
      guard size > 0, let product = CheckedSize.product(deviceCount, size), product <= Self.maximumDeviceCount else {
        throw refuse("devices \(devices), expected 1 to \(Self.maximumDeviceCount) in all")
      }
      deviceCount = product
    }
    var used: Set<Int> = []
    for axis in axes.joined() {
      guard devices.indices.contains(axis) else {
        throw refuse("a dimension is cut along axis \(axis) of devices \(devices)")
      }
      guard used.insert(axis).inserted else { throw refuse("two dimensions are cut along axis \(axis)") }
    }
    self.devices = devices
    self.axes = axes
    let free = deviceCount / used.reduce(1) { $0 * devices[devices.count - 1 - $1] }
    let size = optimizerSize == -1 ? free : max(1, optimizerSize)
    guard optimizerSize >= -1, size == 1 || !axes.isEmpty else {
      throw refuse("a parameter with \(axes.count) dimensions is cut into \(optimizerSize) for the optimizer")
    }
    optimizerPartCount = size
    guard try optimizerAxes().reduce(1, { $0 * $1.parts }) == size else {
      throw refuse("the optimizer's \(size) parts do not fit the \(free) devices of \(devices) that hold the same")
    }
  }

  /// Devices of a stage.
  var deviceCount: Int { devices.reduce(1, *) }

  /// Parts of each dimension, those for the optimizer in dimension 0.
  var partCounts: [Int] {
    axes.enumerated().map { dimension, axes in
      axes.reduce(dimension == 0 ? optimizerPartCount : 1) { $0 * devices[devices.count - 1 - $1] }
    }
  }

  /// For each dimension the part that a device holds.
  func parts(of rank: Int) -> [Int] {
    var coordinates = [Int](repeating: 0, count: devices.count)
    var rest = rank
    for index in devices.indices.reversed() {
      (rest, coordinates[index]) = rest.quotientAndRemainder(dividingBy: devices[index])
    }
    var parts = axes.map { axes in
      axes.reduce(0) { $0 * devices[devices.count - 1 - $1] + coordinates[devices.count - 1 - $1] }
    }
    guard optimizerPartCount > 1 else { return parts }
    let optimizer = (try? optimizerAxes()) ?? []
    parts[0] = optimizer.reversed().reduce(parts[0]) { $0 * $1.parts + coordinates[$1.index] % $1.parts }
    return parts
  }

  /// The axes, by index into ``devices``, that the optimizer's parts lie along, the least significant first, and the
  /// parts along each.
  private func optimizerAxes() throws -> [(index: Int, parts: Int)] {
    var result: [(index: Int, parts: Int)] = []
    var remaining = optimizerPartCount
    let used = Set(axes.joined())
    for index in devices.indices.reversed() where remaining > 1 && !used.contains(devices.count - 1 - index) {
      let parts = min(devices[index], remaining)
      guard parts > 1 else { continue }
      guard remaining % parts == 0, devices[index] % parts == 0 else { break }
      result.append((index, parts))
      remaining /= parts
    }
    return result
  }
}
