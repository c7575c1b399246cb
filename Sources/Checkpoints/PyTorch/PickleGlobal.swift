internal import Tensors

/// What a pickle may call for: the whole list. Nothing is looked up anywhere, and nothing is run.
enum PickleGlobal {
  /// `collections.OrderedDict` and `Counter`.
  case dictionary
  /// `set` and `frozenset`.
  case set
  case byteArray
  case complex
  /// `_codecs.encode`, by which old protocols spell bytes.
  case encode
  /// `torch.Size`.
  case size
  /// `torch.device` and `torch.serialization._get_layout`: called with a text that stays one.
  case word
  case dtype(DType)
  /// A storage class; nil for the one without type.
  case storage(DType?)
  /// `torch._utils._rebuild_tensor` and its successors.
  case rebuildTensor
  /// `_rebuild_tensor_v3`, whose storage has no type.
  case rebuildTyped
  /// `torch.nn.Parameter` and the functions that make one of a tensor.
  case rebuildParameter
  /// `torch._tensor._rebuild_from_type_v2`: a tensor with attributes.
  case rebuildFromType
  /// `torch.Tensor`.
  case tensorClass

  private static let table: [String: PickleGlobal] = [
    "collections.OrderedDict": .dictionary, "collections.Counter": .dictionary, "builtins.set": .set,
    "builtins.frozenset": .set, "builtins.bytearray": .byteArray, "builtins.complex": .complex,
    "_codecs.encode": .encode, "torch.Size": .size, "torch.device": .word,
    "torch.serialization._get_layout": .word, "torch._utils._rebuild_tensor": .rebuildTensor,
    "torch._utils._rebuild_tensor_v2": .rebuildTensor, "torch._utils._rebuild_tensor_v3": .rebuildTyped,
    "torch._utils._rebuild_parameter": .rebuildParameter,
    "torch._utils._rebuild_parameter_with_state": .rebuildParameter,
    "torch.nn.parameter.Parameter": .rebuildParameter, "torch._tensor._rebuild_from_type_v2": .rebuildFromType,
    "torch.Tensor": .tensorClass, "torch.storage.UntypedStorage": .storage(nil),
    "torch.UntypedStorage": .storage(nil),
  ]

  /// What names of functions of PyTorch mean that are not followed.
  private static let refused: [String: String] = [
    "_rebuild_qtensor": "a quantized tensor", "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor", "_rebuild_meta_tensor_no_storage": "a tensor without data",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
    "_rebuild_device_tensor_from_numpy": "a NumPy array",
  ]

  /// Throws ``ErrorCode/unsupportedFeature`` for every name that is not on the list.
  init(module: String, name: String) throws {
    // Python 2 spells it so.
    let module = module == "__builtin__" ? "builtins" : module
    let full = module + "." + name
    if let known = PickleGlobal.table[full] {
      self = known
    } else if let dtype = PickleGlobal.storageType(module, name) {
      self = .storage(dtype)
    } else if module == "torch", let dtype = PyTorchTypes.dtypes[name] {
      self = .dtype(dtype)
    } else {
      throw PickleGlobal.refusal(module, name, full)
    }
  }

  /// The type of `torch.FloatStorage` and its like, of whatever device.
  private static func storageType(_ module: String, _ name: String) -> DType? {
    guard ["torch", "torch.cuda", "torch.storage"].contains(module), name.hasSuffix("Storage") else { return nil }
    return PyTorchTypes.storages[String(name.dropLast("Storage".count))]
  }

  private static func refusal(_ module: String, _ name: String, _ full: String) -> BessemerError {
    if module == "torch._utils", let what = refused[name] {
      return BessemerError(.unsupportedFeature, "holds \(what) (\(full)), expected plain tensors")
    }
    if module == "torch", name.hasSuffix("Storage") || name.contains("int") || name.contains("bits") {
      return BessemerError(.unsupportedType, "the element type \(quoted(full)) is not supported")
    }
    let isModule = ["torch.nn.", "__torch__", "__main__"].contains { module.hasPrefix($0) }
    return BessemerError(
      .unsupportedFeature,
      isModule
        ? "holds a whole module (\(quoted(full))), which is code; load it in PyTorch and save its state_dict()"
        : "calls for \(quoted(full)), expected tensors and plain containers only; nothing was run")
  }
}

extension PickleHeap {
  /// The result of calling what the pickle named with a tuple of arguments.
  mutating func call(_ function: Int32, _ arguments: Int32) throws -> Int32 {
    guard case .global(let global) = self[function], case .tuple = self[arguments], let items = items(arguments) else {
      throw BessemerError(.pickle, "the pickle calls something that is no function")
    }
    func refuse() -> BessemerError {
      BessemerError(.pickle, "the pickle calls \(global) with arguments that it does not take")
    }
    switch global {
    case .dictionary: return try dictionary(items, refuse())
    case .set:
      guard items.count <= 1 else { throw refuse() }
      let content = try items.first.map { number in
        guard let content = self.items(number) else { throw refuse() }
        return content
      }
      return try add(.set(container(content ?? [])))
    case .size:
      guard items.count == 1, integers(items[0]) != nil else { throw refuse() }
      return items[0]
    case .word:
      guard let first = items.first, case .text(let place) = self[first] else { throw refuse() }
      return try add(.plain(place))
    case .byteArray, .complex, .encode: return try add(.bytes)
    case .rebuildTensor: return try add(tensor(tensor(items, dtype: nil)))
    case .rebuildTyped:
      guard items.count > 6, case .global(.dtype(let dtype)) = self[items[6]] else { throw refuse() }
      return try add(tensor(tensor(items, dtype: dtype)))
    case .rebuildParameter:
      guard let first = items.first, case .tensor = self[first] else { throw refuse() }
      return first
    case .rebuildFromType:
      guard items.count > 2, case .global(let kind) = self[items[1]], case .global(let inner) = self[items[0]] else {
        throw refuse()
      }
      switch (kind, inner) {
      case (.tensorClass, .rebuildTensor), (.tensorClass, .rebuildTyped), (.rebuildParameter, .rebuildTensor),
        (.rebuildParameter, .rebuildTyped), (.rebuildParameter, .rebuildParameter):
        return try call(items[0], items[2])
      default: throw refuse()
      }
    case .dtype, .storage, .tensorClass: throw refuse()
    }
  }

  /// A dictionary of nothing, of a list of pairs, or of another one.
  private mutating func dictionary(_ items: [Int32], _ refusal: BessemerError) throws -> Int32 {
    guard items.count <= 1 else { throw refusal }
    guard let source = items.first else { return try add(.dictionary(container([]))) }
    if case .dictionary(let place) = self[source] { return try add(.dictionary(container(containers[place]))) }
    guard let pairs = self.items(source) else { throw refusal }
    let content = try pairs.flatMap { number in
      guard let pair = self.items(number), pair.count == 2 else { throw refusal }
      return pair
    }
    return try add(.dictionary(container(content)))
  }

  /// A view of a storage; `items` are storage, offset, shape, strides, and what does not matter. A type is given for a
  /// storage without one.
  private func tensor(_ items: [Int32], dtype: DType?) throws -> PyTorchTensor {
    func refuse(_ what: String) -> BessemerError { BessemerError(.tensorEntry, "a tensor \(what)") }
    guard items.count >= 4, case .storage(let place) = self[items[0]], let offset = integer(items[1]),
      let shape = integers(items[2]), let strides = integers(items[3])
    else { throw refuse("is not built of a storage, an offset, a shape and strides") }
    guard shape.count == strides.count else {
      throw refuse("has \(shape.count) dimensions and \(strides.count) strides")
    }
    guard shape.count <= PyTorchTensor.maximumRank else {
      throw BessemerError(.limit, "a tensor has \(shape.count) dimensions")
    }
    guard offset >= 0, shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
      throw refuse("has the offset \(offset), shape \(shape) and strides \(strides), expected 0 or more")
    }
    // Behind hooks and type: whether the values are to be negated or conjugated.
    if let flags = items.dropFirst(dtype == nil ? 6 : 7).first, case .dictionary(let place) = self[flags],
      containers[place].contains(where: { if case .boolean(true) = self[$0] { true } else { false } })
    {
      throw BessemerError(
        .unsupportedFeature, "a tensor is a negated or conjugated view; save it after resolve_neg() and resolve_conj()")
    }
    guard let type = dtype ?? storages[place].dtype else { throw refuse("has no element type") }
    return PyTorchTensor(
      storage: place, dtype: type, offset: offset, shape: shape, strides: strides, isPair: type == .float4e2m1)
  }
}
