import CKernels

/// The threads that kernels share. Results never depend on their number.
public final class ThreadPool: @unchecked Sendable {
  /// Nil runs everything on the calling thread.
  let handle: OpaquePointer?

  public init(threads: Int) { handle = threads > 1 ? bk_pool_create(Int32(clamping: threads)) : nil }

  deinit { bk_pool_destroy(handle) }

  public var threads: Int { Int(bk_pool_threads(handle)) }
}
