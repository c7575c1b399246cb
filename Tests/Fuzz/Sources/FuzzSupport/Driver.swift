/// The arguments of `main`.
public typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?

/// What libFuzzer calls with each input.
public typealias FuzzBody = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>, _ body: FuzzBody
) -> CInt

/// Hands over to libFuzzer. Each target calls this from the symbol that SwiftPM takes for its `main`.
public func runFuzzer(_ count: CInt, _ arguments: Arguments, _ body: FuzzBody) -> CInt {
  var (count, arguments) = (count, arguments)
  return runDriver(&count, &arguments, body)
}
