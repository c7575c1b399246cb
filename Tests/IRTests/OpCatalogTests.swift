import Foundation
import IR
import TestSupport
import Tensors
import Testing

/// What every operator must have: a file of its own, a line in the registry, documented constraints, and fixtures.
@Suite struct OpCatalogTests {
  static let names = OpRegistry.standard.ops.map { $0.schema.name }
  private static let sources = Fixtures.folder + "/../Sources/IR/Ops/"

  private static func source(_ path: String) throws -> [Substring] {
    let data = try Data(contentsOf: URL(fileURLWithPath: sources + path))
    return String(decoding: data, as: UTF8.self).split(separator: "\n")
  }

  /// The lines of the file of an operator and of the protocol that it refines.
  private static func source(of op: String) throws -> [Substring] {
    let type = String(describing: try #require(OpRegistry.standard[op]))
    let lines = try source(op.hasPrefix("ascend.") ? "Ascend/Ascend\(type).swift" : "\(type).swift")
    let declaration = try #require(lines.first { $0.contains("public struct \(type): ") })
    let parent = declaration.split(separator: ":")[1].prefix { $0 != "{" }.trimmingCharacters(in: .whitespaces)
    return parent == "Op" ? lines : lines + (try source("\(parent).swift"))
  }

  @Test(arguments: names)
  func everyConstraintHasAFailingCase(op: String) throws {
    let labels = try Self.source(of: op).compactMap { line -> String? in
      let text = line.trimmingCharacters(in: .whitespaces)
      guard text.hasPrefix("/// - C"), let end = text.firstIndex(of: ":") else { return nil }
      return "\(op)_c" + text[text.index(text.startIndex, offsetBy: 7)..<end]
    }
    let failing = Set(OpCase.all.filter { $0.op == op }.compactMap { $0.json["error"]?.string })
    #expect(Set(labels).isSubset(of: failing), "no failing case of \(Set(labels).subtracting(failing).sorted())")
    let documented = failing.filter { $0.hasPrefix("\(op)_c") && $0.last!.isNumber }
    #expect(documented.isSubset(of: labels), "not documented: \(documented.subtracting(labels).sorted())")
  }

  @Test(arguments: names)
  func everyOperatorHasFixtures(op: String) {
    let good = OpCase.all.filter { $0.op == op && $0.json["error"] == nil }
    #expect(good.count >= 3)
  }

  @Test func theListIsSortedAndComplete() throws {
    let lines = try Self.source("AllOps.swift").filter { $0.hasSuffix(".self,") }
    #expect(lines == lines.sorted())
    #expect(lines.count == Self.names.count)
    let manager = FileManager.default
    let files = try [Self.sources, Self.sources + "Ascend"].flatMap { try manager.contentsOfDirectory(atPath: $0) }
    let declared = try files.filter { $0.hasSuffix(".swift") }.reduce(0) { count, file in
      let lines = try Self.source(manager.fileExists(atPath: Self.sources + file) ? file : "Ascend/" + file)
      return count + lines.count { $0.contains("static let schema = OpSchema(") }
    }
    #expect(declared == lines.count)
  }

  @Test func foreignNamesAreUnique() {
    var owners: [OpSchema.ForeignName: String] = [:]
    for op in OpRegistry.standard.ops {
      for name in op.schema.foreignNames {
        #expect(owners.updateValue(op.schema.name, forKey: name) == nil, "\(name) belongs to two operators")
      }
    }
  }

  @Test func attributesAreChecked() {
    #expect(throws: AttributeError.self) { try Softmax(attributes: ["axes": .int(1)]) }
    #expect(throws: AttributeError.self) { try Softmax(attributes: ["axis": .string("1")]) }
    #expect(throws: AttributeError.self) { try Softmax(attributes: ["axis": .float(1.5)]) }
    #expect(throws: AttributeError.self) { try Concat(attributes: [:]) }
    #expect(throws: AttributeError.self) { try Cast(attributes: ["to": .string("float")]) }
    #expect(throws: AttributeError.self) { try Gelu(attributes: ["approximation": .string("quick")]) }
    #expect(throws: AttributeError.self) { try Weight(attributes: ["name": .string("w"), "dtype": .string("f32")]) }
  }
}
