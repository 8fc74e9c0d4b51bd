// Exit statuses (sysexits.h), and which error means which.

internal import Glibc
internal import LinuxSystem
internal import ModelFormat
internal import Scheduling
internal import Tokenization
internal import WeightStore

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
        self =
            switch error {
            case let error as GenerationError: Self.status(error.reason)
            case let error as SystemError: Self.status(error)
            case is FormatError, is TokenizerError, is UnbrokenTextError: .badData
            case let error as LoadError: Self.status(error)
            case let error as WeightError: Self.status(LoadError(error))
            case let error as ReadFailure: error.isDamage ? .badData : .inputOutput
            case let error as EvaluationError: Self.status(error)
            case is ConfigurationError: .badConfiguration
            case is MeasurementError: .badData
            case let error as SocketError: Self.status(error.reason)
            case let error as LibraryError: Self.status(error)
            case let error as DaemonClientError: error.exitStatus
            default: .softwareError
            }
    }

    private static func status(_ error: LoadError) -> ExitStatus {
        switch error {
        case .format, .tokenizer: .badData
        case .system(let error): status(error)
        case .read(let failure): failure.isDamage ? .badData : .inputOutput
        case .budget: .badConfiguration
        case .contextBeyondModel: .usage
        }
    }

    private static func status(_ error: EvaluationError) -> ExitStatus {
        switch error {
        case .noTokens, .tokenOutsideVocabulary: .usage
        case .read(let failure): failure.isDamage ? .badData : .inputOutput
        }
    }

    private static func status(_ reason: GenerationError.Reason) -> ExitStatus {
        switch reason {
        case .invalidRequest: .usage
        case .modelNotFound: .noInput
        case .modelInvalid, .contextExceeded, .templateUnsupported: .badData
        case .overloaded, .draining: .tryAgain
        case .budgetExceeded: .badConfiguration
        case .readFailed: .inputOutput
        case .readerRefused: .notPermitted
        case .cancelled: .interrupted
        case .internalError: .softwareError
        }
    }

    private static func status(_ error: SystemError) -> ExitStatus {
        error.refusesRing ? .notPermitted : status(errorNumber: error.errorNumber)
    }

    private static func status(errorNumber: Int32) -> ExitStatus {
        switch errorNumber {
        case ENOENT, ENOTDIR, EISDIR: .noInput
        case EACCES, EPERM, EROFS: .notPermitted
        default: .inputOutput
        }
    }

    private static func status(_ reason: SocketError.Reason) -> ExitStatus {
        switch reason {
        case .unusablePath: .badConfiguration
        case .inUse: .tryAgain
        case .notPermitted: .notPermitted
        case .system: .inputOutput
        }
    }

    private static func status(_ error: LibraryError) -> ExitStatus {
        switch error {
        case .invalidName: .usage
        case .notFound, .notFoundHere, .empty: .noInput
        case .system(let error): status(errorNumber: error.errorNumber)
        }
    }
}
