import IR
import TestSupport
import Tensors
import Testing

/// One case of `fixtures/ops/NAME.json`: operands with the results that PyTorch computed in double precision, types
/// with the types that follow, or either with the label of the constraint that is broken.
struct OpCase: CustomTestStringConvertible, Sendable {
  let op: String
  let json: JSON

  var testDescription: String { "\(op): \(json["name"]?.string ?? "") (byte \(json.byteOffset))" }

  static let all: [OpCase] = Fixtures.names("ops", suffix: ".json").flatMap { file -> [OpCase] in
    do {
      let json = try Fixtures.json("ops/" + file)
      let op = try json.required("op").asString()
      precondition(op + ".json" == file, "\(file) is about \(op)")
      return try json.required("cases").asArray().map { OpCase(op: op, json: $0) }
    } catch { preconditionFailure("\(file): \(error)") }
  }

  /// The operator of the case.
  func makeOp() throws -> any Op {
    var attributes: Attributes = [:]
    if let members = json["attributes"]?.members {
      for (key, value) in members { attributes[key] = try attribute(value) }
    }
    if op == "constant", case .string(let text)? = attributes["value"] {
      // The text of a constant is read as graphs are.
      let type = text.prefix { $0 != "(" }
      let graph = try Graph(text: "graph \"\" {\n  %0 = constant {value=\(text)} : \(type)\n}\n")
      return graph[graph.nodeIDs[0]].op
    }
    guard let type = OpRegistry.standard[op] else { throw json.mismatch("a known operator") }
    return try type.init(attributes: attributes)
  }

  private func attribute(_ value: JSON) throws -> Attribute {
    switch value.kind {
    case .bool: return .bool(try value.asBool())
    case .integer: return .int(try value.asInt())
    case .float: return .float(try value.asDouble())
    case .string:
      let text = try value.asString()
      return Double(text).map { .float($0) } ?? .string(text)
    default: return .ints(try value.asArray().map { try $0.asInt() })
    }
  }

  /// An empty graph with an input for each type.
  static func inputs(_ types: [String]) throws -> (graph: Graph, values: [ValueID]) {
    let lines = types.enumerated().map { "  input %\($0) \"x\($0)\" : \($1)\n" }
    let graph = try Graph(text: "graph \"\" {\n" + lines.joined() + "}\n")
    return (graph, graph.inputs.map(\.value))
  }
}

@Suite struct OpFixtureTests {
  @Test(arguments: OpCase.all)
  func agrees(_ fixture: OpCase) throws {
    let json = fixture.json
    let op = try fixture.makeOp()
    let tensors = try json["operands"]?.elements.map { try Tensor(json: $0) }
    let types = try tensors?.map(\.type.description) ?? json.required("types").asArray().map { try $0.asString() }
    var (graph, values) = try OpCase.inputs(types)
    let error = json["error"]?.string

    let results: [ValueID]
    do throws(OpError) { results = try graph.add(op, values, name: "a \"name\"") } catch {
      #expect(error.constraint == json["error"]?.string, "\(error)")
      return
    }
    if let tensors {
      let actual: [Tensor]
      do { actual = try op.evaluate(tensors) } catch let failure as OpError {
        #expect(failure.constraint == error, "\(failure)")
        return
      }
      let expected = try json.required("results").asArray().map { try Tensor(json: $0) }
      #expect(error == nil)
      #expect(actual.count == expected.count)
      for (a, b) in zip(actual, expected) {
        let agrees = a.dtype == .float64 ? a.maximumRelativeError(to: b, floor: 1e-3) < 1e-13 : a.hasSameValues(as: b)
        #expect(agrees, "\(a.type) \(a.doubles) is not \(b.type) \(b.doubles)")
      }
      #expect(results.map { graph.type(of: $0) } == actual.map(\.type))
    } else {
      #expect(error == nil, "not refused: \(results.map { graph.type(of: $0) })")
      let expected = try json["infers"]?.elements.map { try $0.asString() }
      #expect(results.map { graph.type(of: $0).description } == expected)
    }
    for (k, result) in results.enumerated() { graph.addOutput("y\(k)", result) }
    try graph.verify()
    let again = try Graph(text: graph.text)
    #expect(again.text == graph.text)
    #expect(again[again.nodeIDs[0]].op.isEqual(to: op))
    #expect(try Swift.type(of: op).init(attributes: op.attributes).isEqual(to: op))
  }
}
