internal import Glibc

/// A stream whose pieces are taken one by one, so that two can be read side by side. It runs on a thread of its own,
/// and only while a piece is asked for.
final class PulledStream {
  private let state: State

  /// `stream` is called on another thread, once, and has ended when ``stop()`` returns.
  init(_ stream: @escaping ByteStream) { state = State(stream) }

  /// The next piece, or nil at the end. Throws what the stream throws.
  func next() throws -> Bytes? { try state.next() }

  /// Ends the stream where it is. Must be called.
  func stop() { state.stop() }

  /// What the stream ends with when nothing more is wanted.
  private struct Stopped: Error {}

  /// Both threads take turns; whose turn it is decides who may touch the rest.
  private final class State: @unchecked Sendable {
    private enum Turn { case taker, stream, over }

    private let stream: ByteStream
    private var mutex = pthread_mutex_t()
    private var changed = pthread_cond_t()
    private var turn = Turn.taker
    private var piece: Bytes?
    private var error: (any Error)?
    private var isStopped = false
    private var thread: pthread_t?

    init(_ stream: @escaping ByteStream) {
      self.stream = stream
      pthread_mutex_init(&mutex, nil)
      pthread_cond_init(&changed, nil)
    }

    deinit {
      pthread_cond_destroy(&changed)
      pthread_mutex_destroy(&mutex)
    }

    func next() throws -> Bytes? {
      if thread == nil { try start() }
      pass(from: .taker, to: .stream)
      if let error, !(error is Stopped) { throw error }
      return piece
    }

    func stop() {
      guard let thread else { return }
      isStopped = true
      pass(from: .taker, to: .stream)
      pthread_join(thread, nil)
      self.thread = nil
    }

    private func start() throws {
      var started = pthread_t()
      let own = Unmanaged.passRetained(self)
      let result = pthread_create(
        &started, nil,
        { context in
          // The reference that was passed when the thread was made.
          Unmanaged<State>.fromOpaque(context!).takeRetainedValue().run()
          return nil
        }, own.toOpaque())
      guard result == 0 else {
        own.release()
        throw BessemerError(.memory, "no thread can be started: \(errorText(result))")
      }
      thread = started
    }

    private func run() {
      wait(for: .stream)
      do {
        if isStopped { throw Stopped() }
        try stream { bytes in
          piece = bytes
          pass(from: .stream, to: .taker)
          if isStopped { throw Stopped() }
        }
      } catch { self.error = error }
      piece = nil
      set(.over)
    }

    /// Hands the turn over and waits for it to come back, or for the stream's end.
    private func pass(from own: Turn, to other: Turn) {
      pthread_mutex_lock(&mutex)
      defer { pthread_mutex_unlock(&mutex) }
      if turn == own {
        turn = other
        pthread_cond_broadcast(&changed)
      }
      while turn != own, turn != .over { pthread_cond_wait(&changed, &mutex) }
    }

    private func wait(for wanted: Turn) {
      pthread_mutex_lock(&mutex)
      while turn != wanted { pthread_cond_wait(&changed, &mutex) }
      pthread_mutex_unlock(&mutex)
    }

    private func set(_ next: Turn) {
      pthread_mutex_lock(&mutex)
      turn = next
      pthread_cond_broadcast(&changed)
      pthread_mutex_unlock(&mutex)
    }
  }
}
