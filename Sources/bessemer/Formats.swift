import ArgumentParser
import Converter
import Tensors

/// Lists what can be read, built and targeted.
struct Formats: Command {
  static let configuration = configure("formats", "List containers, model types, targets and element types.")

  @OptionGroup var common: CommonOptions

  func execute(_ console: Console) throws {
    if console.isJSON { return try console.json("formats") { writeJSON(&$0) } }
    var table = Table([("container", .left), ("", .left), ("", .left)])
    for container in Catalog.containers { table.row(container.name, container.access, container.summary) }
    try table.write(to: console.out)
    try console.out.line()
    try console.out.line("model types  " + Catalog.modelTypes.joined(separator: ", "))
    try console.out.line()
    var targets = Table([("family", .left), ("targets", .left)])
    for (family, names) in Catalog.targets { targets.row(family, names.joined(separator: ", ")) }
    try targets.write(to: console.out)
    try console.out.line()
    var types = Table([("type", .left), ("bits", .right), ("long name", .left), ("safetensors", .left)])
    for type in DType.allCases {
      types.row(type.rawValue, "\(type.bits)", type.longName, Catalog.safetensorsName(of: type) ?? "-")
    }
    try types.write(to: console.out)
  }

  private func writeJSON(_ json: inout JSONWriter) {
    json.array("containers") { json in
      for container in Catalog.containers {
        json.object { json in
          json.member("name", container.name)
          json.member("access", container.access)
          json.member("summary", container.summary)
        }
      }
    }
    json.array("model_types", Catalog.modelTypes)
    json.object("targets") { json in for (family, names) in Catalog.targets { json.array(family, names) } }
    json.array("dtypes") { json in
      for type in DType.allCases {
        json.object { json in
          json.member("name", type.rawValue)
          json.member("bits", type.bits)
          json.member("long_name", type.longName)
          if let name = Catalog.safetensorsName(of: type) {
            json.member("safetensors", name)
          } else {
            json.null("safetensors")
          }
        }
      }
    }
  }
}
