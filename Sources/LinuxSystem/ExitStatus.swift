// How programs of ours end (sysexits.h), and the errors that say so themselves.

internal import Glibc

/// How a program of ours ends.
package enum ExitStatus: Int32, Sendable {
    case success = 0
    case usage = 64
    case badData = 65
    case noInput = 66
    case unavailable = 69
    case softwareError = 70
    case inputOutput = 74
    case tryAgain = 75
    case notPermitted = 77
    case badConfiguration = 78
    /// Ended by Ctrl-C: 128 and SIGINT's number, as shells say it.
    case interrupted = 130

    /// The status that fits `error`; errors of unknown kind are `softwareError`.
    package init(_ error: any Error) {
        self = (error as? any EndingError)?.exitStatus ?? .softwareError
    }

    /// The status that fits what a call for a file or a directory failed with.
    package init(errorNumber: Int32) {
        self =
            switch errorNumber {
            case ENOENT, ENOTDIR, EISDIR: .noInput
            case EACCES, EPERM, EROFS: .notPermitted
            default: .inputOutput
            }
    }
}

/// An error that a program may end with.
package protocol EndingError: Error {
    var exitStatus: ExitStatus { get }
}

extension SystemError: EndingError {
    package var exitStatus: ExitStatus {
        refusesRing ? .notPermitted : ExitStatus(errorNumber: errorNumber)
    }
}
