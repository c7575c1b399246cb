import IR
import Quantization
import Tensors

/// Steps that look at keys and values.
extension Calibrator {
  private func caches(in section: Range<Int>, _ selection: QuantizationRecipe.Selection) throws -> [AttentionCache] {
    let here = Set(sites(in: section).map(\.layer.module))
    return try caches.filter { try here.contains($0.keyModule) && selection.contains($0.attention) }
  }

  /// The ranges of keys and values, of the last sequence alone where others are to be forgotten.
  private func ranges(
    _ chosen: [AttentionCache], _ number: Int, _ section: Range<Int>, _ run: inout CalibrationRun?, forgets: Bool
  ) throws -> [ValueID: CacheRanges] {
    let found = Observations()
    var watch = try watch(section)
    watch.observed = Set(chosen.flatMap { [$0.keys, $0.values] })
    watch.observe = { try found.ranges[$0, default: CacheRanges()].observe($1, forgets: forgets) }
    try run?.run(section, weights, watch)
    for cache in chosen {
      for (value, module) in [(cache.keys, cache.keyModule), (cache.values, cache.valueModule)] {
        found.ranges[value] = try statistics.settled(
          found.ranges[value], step: number, module, columns: cache.heads * cache.depth)
      }
    }
    return found.ranges
  }

  mutating func smoothKeys(
    _ selection: QuantizationRecipe.Selection, power: Float, _ number: Int, _ section: Range<Int>,
    _ run: inout CalibrationRun?
  ) throws -> Bool {
    let chosen = try caches(in: section, selection)
    guard !chosen.isEmpty else { return false }
    // Every sequence counts here, in msModelSlim too.
    let ranges = try ranges(chosen, number, section, &run, forgets: false)
    for cache in chosen {
      guard let range = ranges[cache.keys], let queryScale = cache.queryScale else { continue }
      let scales = range.keyScales(heads: cache.heads, depth: cache.depth, power: power)
      switch (cache.keyScale, queryScale) {
      case (.norm(let key), .norm(let query)):
        // A norm has one gain for all heads.
        let shared = (0..<cache.depth).map { channel in
          (0..<cache.heads).map { scales[$0 * cache.depth + channel] }.max() ?? 1
        }
        try weights.divide(key, by: shared)
        try weights.multiply(query, by: shared)
      case (.linear(let key, let keyBias), .linear(let query, let queryBias)):
        let shared = try weights.rows(of: query) / (cache.heads * cache.depth)
        let wide = (0..<cache.heads).flatMap { head in
          (0..<shared).flatMap { _ in scales[(head * cache.depth)..<((head + 1) * cache.depth)] }
        }
        for name in [key] + (keyBias.map { [$0] } ?? []) { try weights.divide(name, by: scales) }
        for name in [query] + (queryBias.map { [$0] } ?? []) { try weights.multiply(name, by: wide) }
      default:
        throw BessemerError(
          .unsupportedFeature, "\(quoted(cache.attention)) has a norm on one of keys and queries only")
      }
    }
    return true
  }

  mutating func observe(
    _ step: QuantizationRecipe.Cache, _ number: Int, _ section: Range<Int>, _ run: inout CalibrationRun?
  ) throws -> Bool {
    let chosen = try caches(in: section, step.selection)
    if step.isV0 {
      // What layers make, run as they are prepared.
      let outputs = Dictionary(uniqueKeysWithValues: sites(in: section).map { ($0.layer.module, $0.output) })
      let found = Observations()
      var watch = CalibrationRun.Watch()
      let observed = chosen.flatMap { [$0.keyModule, $0.valueModule] }.compactMap { module in
        (outputs[module] ?? nil).map { (module, $0) }
      }
      watch.observed = Set(observed.map(\.1))
      watch.observe = { try found.ranges[$0, default: CacheRanges()].observe($1) }
      try preparedRun?.run(section, weights, watch)
      let width = Dictionary(
        chosen.flatMap { [($0.keyModule, $0.heads * $0.depth), ($0.valueModule, $0.heads * $0.depth)] },
        uniquingKeysWith: { first, _ in first })
      for (module, value) in observed {
        let range = try statistics.settled(found.ranges[value], step: number, module, columns: width[module] ?? 0)
        weights.cacheGrids[module] = range?.grids(
          isSymmetric: step.isSymmetric, dtype: graph.graph.type(of: value).dtype)
      }
      return false
    }
    guard !chosen.isEmpty else { return false }
    let ranges = try ranges(chosen, number, section, &run, forgets: isCompatible)
    for cache in chosen {
      let layer = caches.firstIndex { $0.attention == cache.attention } ?? 0
      let isNarrow = isCompatible && !recipe.widensCaches(beforeStep: number, layer: layer)
      let dtype = isNarrow ? graph.graph.type(of: cache.keys).dtype : .float32
      for (value, module) in [(cache.keys, cache.keyModule), (cache.values, cache.valueModule)] {
        weights.cacheGrids[module] = ranges[value]?.grids(isSymmetric: step.isSymmetric, dtype: dtype)
      }
    }
    return true
  }
}
