// Starting threads of our own: the compute team, the engine, and readers for kernels without
// io_uring.

internal import Glibc

/// A thread of our own (pthreads(7)).
package struct Thread: Sendable {
    private let handle: pthread_t

    /// Starts a joinable thread that runs `body`.
    ///
    /// - Throws: `SystemError` when the system allows no more threads.
    package init(
        stackBytes: Int = 512 << 10, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        guard let handle = start(stackBytes: stackBytes, body) else {
            throw SystemError("pthread_create", errorNumber: EAGAIN)
        }
        self.handle = handle
    }

    /// Returns when the thread has ended. Once only.
    package func join() { pthread_join(handle, nil) }

    /// Puts the calling thread to sleep (usleep(3)).
    package static func sleep(microseconds: UInt32) { usleep(microseconds) }
}

private func start(stackBytes: Int, _ body: @escaping @Sendable () -> Void) -> pthread_t? {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, stackBytes)
    let box = unsafe Unmanaged.passRetained(ThreadBody(run: body))
    var thread: pthread_t = 0
    let status = unsafe pthread_create(
        &thread, &attributes,
        { context in
            // tidy: allow crash: pthread passes what it was given
            let box = unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue()
            box.run()
            return nil
        }, unsafe box.toOpaque())
    guard status == 0 else {
        unsafe box.release()
        return nil
    }
    return thread
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
}
