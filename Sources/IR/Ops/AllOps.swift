/// The registered operators, in alphabetical order, one line each.
let allOps: [any Op.Type] = [
  Add.self,
  Constant.self,
  Softmax.self,
  Weight.self,
]
