// Choices that knobs offer by name; what acts on them is far above.

/// Which neurons of a sparse layer are computed, and so read.
package enum SparseMode: String, Sendable, CaseIterable {
    /// All of them.
    case off
    /// Those that fire: the first projection is computed in full, then the rest of those alone. The
    /// output is that of `off`, bit for bit.
    case exact
    /// Those that a predictor names, and those in memory. Others count as 0.
    case predicted
}

/// What reads files for streaming.
package enum ReaderChoice: String, Sendable, CaseIterable {
    /// io_uring, or threads where the kernel refuses it.
    case automatic = "auto"
    case ring = "io_uring"
    case threads = "pread"
}

/// Where keys and values of earlier texts are kept for texts that begin like them.
package enum PrefixKeeping: String, Sendable, CaseIterable {
    case off
    /// As long as their memory is not needed, and the model is loaded.
    case memory
    /// In a file beside the model too: over restarts.
    case flash
}

/// Who finds prefixes.
package enum PrefixSharing: String, Sendable, CaseIterable {
    /// Each user their own: how fast an answer begins tells whether somebody had the text before.
    case user
    /// Every user those of all.
    case all
}

/// When extents are compared with their checksums.
package enum VerificationPolicy: String, Sendable, CaseIterable {
    /// When an extent is read for the first time.
    case first
    /// On every read.
    case always
}

/// Whether generation guesses ahead and verifies several tokens in one pass.
package enum SpeculationPolicy: Sendable, Equatable {
    case off
    /// Where always-needed weights pass through memory, as many tokens as the measured times say.
    case automatic
    /// Everywhere, all that is found up to so many tokens, whatever they cost.
    case upTo(Int)

    /// Most tokens that can be asked for.
    package static let draftsMax = 31

    /// `auto`, `off`, or a number from 1 to ``draftsMax``.
    package init?(_ text: String) {
        switch text {
        case "off": self = .off
        case "auto": self = .automatic
        default:
            guard let count = Int(text), (1...Self.draftsMax).contains(count) else { return nil }
            self = .upTo(count)
        }
    }
}

/// How much is logged.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    case error, warning, info, debug

    /// syslog(3)'s number.
    package var priority: Int {
        switch self {
        case .error: 3
        case .warning: 4
        case .info: 6
        case .debug: 7
        }
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool {
        left.priority < right.priority
    }
}
