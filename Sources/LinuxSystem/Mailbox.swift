// A bounded queue between threads: any thread posts, one thread takes.

internal import Glibc

/// Messages for one thread. Posting never blocks; a full box refuses.
@safe
package final class Mailbox<Message: Sendable>: @unchecked Sendable {
    private let capacity: Int
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let arrival = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var messages: [Message] = []
    private var isClosed = false

    package init(capacity: Int) {
        self.capacity = capacity
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(arrival, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe pthread_cond_destroy(arrival)
        unsafe mutex.deallocate()
        unsafe arrival.deallocate()
    }

    /// Posts a message.
    ///
    /// - Returns: false when the box is full or closed.
    package func post(_ message: Message) -> Bool {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        guard messages.count < capacity, !isClosed else { return false }
        messages.append(message)
        unsafe pthread_cond_signal(arrival)
        return true
    }

    /// Refuses every message from now on.
    ///
    /// - Returns: what was posted before and not yet taken.
    package func close() -> [Message] {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        isClosed = true
        let taken = messages
        messages.removeAll()
        return taken
    }

    /// Whether nothing was posted since it was taken last.
    package var isEmpty: Bool {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return messages.isEmpty
    }

    /// Everything posted since the last call, in order; with `waiting`, at least one message.
    ///
    /// - Parameter nanoseconds: after which waiting ends without any; nil never.
    package func take(waiting: Bool, within nanoseconds: UInt64? = nil) -> [Message] {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        if waiting, let nanoseconds {
            wait(until: MonotonicClock.nanoseconds &+ min(nanoseconds, Self.longestWait))
        } else {
            while waiting && messages.isEmpty { unsafe pthread_cond_wait(arrival, mutex) }
        }
        let taken = messages
        messages.removeAll(keepingCapacity: true)
        return taken
    }

    /// Three years.
    private static var longestWait: UInt64 { 100_000_000 * 1_000_000_000 }

    /// With the mutex: until there is a message, or the monotonic clock says so.
    private func wait(until end: UInt64) {
        var time = timespec(
            tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        while messages.isEmpty {
            let status = unsafe pthread_cond_timedwait(arrival, mutex, &time)
            if status == ETIMEDOUT { return }
        }
    }
}
