/// An expression of a template.
indirect enum TemplateExpression {
  case literal(TemplateValue)
  case name(String)
  case list([TemplateExpression])
  case map([(key: TemplateExpression, value: TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, [TemplateExpression?])
  case call(TemplateExpression, TemplateArguments)
  case filter(TemplateExpression, String, TemplateArguments)
  case test(TemplateExpression, String, TemplateArguments)
  case not(TemplateExpression)
  case negative(TemplateExpression)
  case both(TemplateExpression, TemplateExpression)
  case either(TemplateExpression, TemplateExpression)
  case binary(TemplateExpression, String, TemplateExpression)
  /// `a < b <= c`: each neighbouring pair holds.
  case comparison(TemplateExpression, [(operation: String, right: TemplateExpression)])
  case condition(TemplateExpression, then: TemplateExpression, else: TemplateExpression?)
}

/// What stands between the parentheses of a call.
struct TemplateArguments {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
}

/// Where `set` and `for` put a value.
enum TemplateTarget {
  case names([String])
  /// A name of a namespace.
  case member(String, String)
}

/// A part of a template.
indirect enum TemplateStatement {
  case text([UInt8])
  case output(TemplateExpression)
  case choose([(condition: TemplateExpression?, body: [TemplateStatement])])
  case loop(
    targets: [String], sequence: TemplateExpression, filter: TemplateExpression?, body: [TemplateStatement],
    otherwise: [TemplateStatement])
  case set(TemplateTarget, TemplateExpression)
  /// The text of `body`, through filters.
  case capture(TemplateTarget?, [(name: String, arguments: TemplateArguments)], [TemplateStatement])
  case macro(name: String, parameters: [(name: String, initial: TemplateExpression?)], body: [TemplateStatement])
  /// Calls a macro that finds the body as `caller`.
  case call(
    parameters: [(name: String, initial: TemplateExpression?)], TemplateExpression, body: [TemplateStatement])
  case scope([(name: String, value: TemplateExpression)], [TemplateStatement])
  case leave
  case next
}
