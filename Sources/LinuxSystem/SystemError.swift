internal import Glibc

/// A system call that failed: which one, why, and on what.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    package let call: String
    package let errorNumber: Int32
    /// The path or object the call was about, for the message.
    package let subject: String?

    package init(_ call: String, errorNumber: Int32, subject: String? = nil) {
        self.call = call
        self.errorNumber = errorNumber
        self.subject = subject
    }

    package var description: String {
        let reason = unsafe String(cString: strerror(errorNumber))
        return subject.map { "\($0): \(call): \(reason)" } ?? "\(call): \(reason)"
    }
}

extension SystemError {
    /// Whether a transfer that failed with this errno should simply be repeated.
    package static func isTransient(_ errorNumber: Int32) -> Bool {
        errorNumber == EINTR || errorNumber == EAGAIN
    }

    /// Whether the kernel refused the arguments (EINVAL): O_DIRECT where it does not work.
    package var isInvalidArgument: Bool { errorNumber == EINVAL }

    /// Whether the kernel, or a filter before it, refuses io_uring(7) to this process.
    package var refusesRing: Bool { call.hasPrefix("io_uring_") }

    /// Whether something has the name already (EEXIST).
    package var isTaken: Bool { errorNumber == EEXIST }

    /// Whether a write that failed with this errno found no room (ENOSPC, EDQUOT).
    package static func isFull(_ errorNumber: Int32) -> Bool {
        errorNumber == ENOSPC || errorNumber == EDQUOT
    }

    /// EIO, for devices that misbehave without saying so.
    package static var inputOutputError: Int32 { EIO }
    /// EWOULDBLOCK, for what somebody else has.
    package static var busy: Int32 { EWOULDBLOCK }
    /// EMFILE.
    static var tooManyFiles: Int32 { EMFILE }
}

extension SystemError {
    /// Whether the call failed because there is nothing of that name.
    package var isMissing: Bool { errorNumber == ENOENT }
}
