import IR
import Quantization
import Tensors

/// Rotations that are searched for.
extension Calibrator {
  /// The rotation of the residual stream that suits the inputs of some layers best; nil when none is asked for.
  ///
  /// The whole model runs once, the gains of norms moved into the layers that read them. A sequence is the mean of its
  /// tokens. Throws ``ErrorCode/unsupportedFeature`` when no layer has one of the names, or one of another width.
  func searched(_ rotation: Rotation, _ plan: RotationPlan?) throws -> DenseRotation? {
    guard let (search, names) = rotation.search, let plan, var probe = run,
      let start = try RotationPlan.residual(rotation, graph.graph)
    else { return nil }
    let chosen = sites.filter { site in
      site.expertPart == nil && names.contains { site.layer.module.contains($0) }
    }
    guard !chosen.isEmpty else {
      let all = names.joined(separator: ", ")
      throw BessemerError(
        .unsupportedFeature, "no linear layer has \(quoted(all)) in its name, which layer_type asks for")
    }
    var means: [ValueID: [Float]] = [:]
    var weights = PreparedWeights(weights.base)
    for section in graph.sections {
      for name in graph.weights(in: section) { try plan.apply(to: name, in: &weights, gainsOnly: true) }
      var watch = CalibrationRun.Watch()
      watch.observed = Set(chosen.map(\.input))
      watch.observe = { value, tensor in
        let rows = try Matrix(tensor)
        guard rows.columns == start.columns else {
          throw BessemerError(
            .unsupportedFeature,
            "a layer that layer_type asks for reads \(rows.columns) channels; the model has \(start.columns)")
        }
        _ = try range(of: rows.values)
        var sums = [Float](repeating: 0, count: rows.columns)
        for index in rows.values.indices { sums[index % rows.columns] += rows.values[index] }
        means[value, default: []] += try sums.map { $0 / Float(rows.rows) }.rounded(to: tensor.dtype)
      }
      try probe.run(section, weights, watch)
      weights.forget()
    }
    let inputs = chosen.compactMap { site in
      means[site.input].map { Matrix(rows: $0.count / start.columns, columns: start.columns, values: $0) }
    }
    return DenseRotation(try search.solve(inputs, from: start, threads), threads)
  }
}
