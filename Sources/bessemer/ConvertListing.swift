import Converter
import Tensors

/// What `convert` says of its work.
struct ConvertListing {
  let conversion: Conversion
  let items: [Conversion.Item]
  let isDryRun: Bool

  /// Carries a conversion out, unless it is dry, and says what became of it.
  ///
  /// - Parameter measures: whether casts are tried out where it is dry.
  static func write(
    _ conversion: Conversion, isDryRun: Bool, measures: Bool = false, _ title: String, _ console: Console
  ) throws {
    let progress = console.progress(title, unit: .bytes)
    defer { progress.finish() }
    var items = conversion.items
    if !isDryRun {
      items = try conversion.write { progress.update($0, of: $1) }
    } else if measures {
      items = try conversion.measure { progress.update($0, of: $1) }
    }
    progress.finish()
    let listing = ConvertListing(conversion: conversion, items: items, isDryRun: isDryRun)
    if console.isJSON { try listing.writeJSON(console) } else { try listing.writeText(console) }
  }

  /// One aligned line for each tensor that was changed, or for every tensor when verbose, and lines to sum up.
  func writeText(_ console: Console) throws {
    var table = Table([("", .left), ("", .left), ("", .left), ("", .right), ("", .left)])
    for item in items where isChanged(item) || console.isVerbose {
      table.add(name: item.name.string)
      table.add(item.storedFrom == item.storedTo ? item.storedTo : "\(item.storedFrom) -> \(item.storedTo)")
      table.add(shape: item.shape)
      table.add(ByteSize(item.byteCount).text)
      table.add(words(item))
    }
    try table.write(to: console.out)
    warn(console)
    let files = conversion.files.count == 1 ? "" : " in \(grouped(conversion.files.count)) files"
    try console.out.line(
      "\(isDryRun ? "would write" : "wrote") \(escaped(conversion.output, limit: 240)): \(conversion.targetFormat), "
        + "\(counted(items.count, "tensor")), \(ByteSize(conversion.byteCount).text)\(files)")
    let encoded = items.count(where: isEncoded)
    let cast = items.filter { $0.storedFrom != $0.storedTo && !isEncoded($0) }
    let lossy = items.filter { $0.losses?.isLossy ?? false }
    let isMeasured = items.contains { $0.losses != nil }
    let changes = isMeasured || !isDryRun ? ", \(grouped(lossy.count)) of them with changed values" : ""
    try console.out.line(
      "\(ByteSize(conversion.sourceByteCount).text) of \(conversion.sourceFormat) in; \(grouped(cast.count)) cast"
        + "\(changes)\(encoded > 0 ? ", \(grouped(encoded)) encoded in blocks" : ""), "
        + "\(grouped(items.count - items.count(where: isChanged))) unchanged")
    if isDryRun {
      try console.out.line("memory at most \(ByteSize(conversion.memory.peakByteCount).text)")
    } else {
      console.detail(
        "memory peak \(ByteSize(Machine.peakByteCount).text), planned at most "
          + ByteSize(conversion.memory.peakByteCount).text)
    }
  }

  private func warn(_ console: Console) {
    if conversion.droppedMetadataCount > 0 {
      console.note(
        "warning: \(conversion.targetFormat) files keep no metadata; "
          + "left out \(counted(conversion.droppedMetadataCount, "text"))")
    }
    if let name = conversion.droppedNames.first {
      let others = conversion.droppedNames.count > 1 ? " and \(conversion.droppedNames.count - 1) more" : ""
      console.note("warning: left out tensor \(quoted(name.string))\(others), which such a file has no place for")
    }
    let kept = items.filter { $0.twin != nil }
    if let item = kept.first, let twin = item.twin {
      console.note(
        "note: \(counted(kept.count, "tied tensor")) \(kept.count == 1 ? "is" : "are") stored once with "
          + "\(kept.count == 1 ? "another" : "others"), as \(quoted(item.name.string)) with \(quoted(twin.string))")
    }
    let count = conversion.ties.reduce(0) { $0 + $1.count - 1 } - kept.count
    if let group = conversion.ties.first, count > 0 {
      console.note(
        "note: \(counted(count, "tensor")) share\(count == 1 ? "s" : "") bytes with others in the input and "
          + "\(count == 1 ? "is" : "are") written in full, as \(quoted(group[0].string)) and \(quoted(group[1].string))"
      )
    }
    let overflowed = items.reduce(0) { $0 + ($1.losses?.overflowed ?? 0) }
    if overflowed > 0 { console.note("warning: \(counted(overflowed, "value")) did not fit the new type") }
  }

  private func isChanged(_ item: Conversion.Item) -> Bool {
    item.storedFrom != item.storedTo || !item.steps.isEmpty || item.sources != [item.name] || item.twin != nil
  }

  /// Whether a value may have become another by an encoding in blocks.
  private func isEncoded(_ item: Conversion.Item) -> Bool {
    item.storedTo != item.to.rawValue && item.storedTo != item.storedFrom
  }

  /// `was w; transpose [1, 0]; 3 of 8 changed, 1 overflowed, 1 to zero, 2 NaN, error at most 0.5 ulp, 0.12 in the mean`
  private func words(_ item: Conversion.Item) -> String {
    guard isChanged(item) else { return "unchanged" }
    var parts: [String] = []
    if let twin = item.twin { parts.append("tied to " + escaped(twin.string, limit: 80)) }
    if let source = item.sources.first, item.sources != [item.name] {
      let others = item.sources.count > 1 ? " and \(item.sources.count - 1) more" : ""
      parts.append((item.sources.count > 1 ? "from " : "was ") + escaped(source.string, limit: 80) + others)
    }
    parts += item.steps.filter { !$0.hasPrefix("cast ") && !$0.hasPrefix("encode ") }
    if isEncoded(item) {
      parts.append("encoded in blocks")
    } else if item.isCast {
      parts.append(item.losses.map(words) ?? "cast")
    } else if item.storedTo != item.storedFrom {
      parts.append("decoded exactly")
    }
    return parts.joined(separator: "; ")
  }

  private func words(_ losses: CastLosses.Count) -> String {
    guard losses.isLossy || losses.nanCount > 0 else { return "exact" }
    var parts: [String] = []
    if losses.isLossy { parts.append("\(grouped(losses.changed)) of \(grouped(losses.examined)) changed") }
    if losses.overflowed > 0 { parts.append("\(grouped(losses.overflowed)) overflowed") }
    if losses.underflowed > 0 { parts.append("\(grouped(losses.underflowed)) to zero") }
    if losses.nanCount > 0 { parts.append("\(grouped(losses.nanCount)) NaN") }
    if losses.largestError > 0 {
      parts.append(
        "error at most \(significant(losses.largestError, 3)) ulp, \(significant(losses.meanError, 3)) in the mean")
    }
    return parts.joined(separator: ", ")
  }

  func writeJSON(_ console: Console) throws {
    try console.json("convert") { json in
      json.member("input", conversion.input)
      json.member("output", conversion.output)
      json.member("dry_run", isDryRun)
      json.member("from", conversion.sourceFormat)
      json.member("to", conversion.targetFormat)
      json.array("files") { json in for file in conversion.files { json.value(file) } }
      json.array("tensors") { json in for item in items { json.object { write(item, to: &$0) } } }
      json.array("tied") { json in
        for group in conversion.ties { json.array { json in for name in group { json.value(name.string) } } }
      }
      json.member("metadata_dropped", conversion.droppedMetadataCount)
      json.member("bytes_in", conversion.sourceByteCount)
      json.member("bytes_out", conversion.byteCount)
      json.member("memory_planned_bytes", conversion.memory.peakByteCount)
      json.member("memory_peak_bytes", Machine.peakByteCount)
    }
  }

  private func write(_ item: Conversion.Item, to json: inout JSONWriter) {
    json.member("name", item.name.string)
    json.array("sources") { json in for source in item.sources { json.value(source.string) } }
    json.array("steps") { json in for step in item.steps { json.value(step) } }
    json.member("from", item.storedFrom)
    json.member("to", item.storedTo)
    json.array("shape", item.shape)
    json.member("bytes", item.byteCount)
    if let twin = item.twin { json.member("tied_to", twin.string) }
    json.member("file", item.file)
    guard let losses = item.losses else { return json.null("cast") }
    json.object("cast") { losses.write(to: &$0) }
  }
}
