// Starting threads of our own: the compute team, the engine, and readers for kernels without
// io_uring.

internal import CLinux
internal import Glibc

/// A thread of our own (pthreads(7)).
package struct Thread: Sendable {
    private let handle: pthread_t

    /// Starts a joinable thread that runs `body`.
    ///
    /// - Parameter name: at most 15 characters, for debuggers and process lists.
    /// - Throws: `SystemError` when the system allows no more threads.
    package init(
        name: String = "sluice", stackBytes: Int = 512 << 10, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        let named: @Sendable () -> Void = {
            unsafe clinux_name_thread(name)
            body()
        }
        guard let handle = start(stackBytes: stackBytes, named) else {
            throw SystemError("pthread_create", errorNumber: EAGAIN)
        }
        self.handle = handle
    }

    /// Returns when the thread has ended. Once only.
    package func join() { pthread_join(handle, nil) }

    /// Whether the thread ended within this time, and is joined.
    package func join(within nanoseconds: UInt64) -> Bool {
        clinux_join_within(handle, nanoseconds) == 0
    }

    /// Nobody will join the thread. Instead of ``join()``.
    package func detach() { pthread_detach(handle) }

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
