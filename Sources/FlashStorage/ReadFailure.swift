// Why a read or a write failed: which file, where, and the cause.

package import LinuxSystem

/// Why bytes could not be read or written. The request that needed them ends; caches stay as they
/// were.
package struct ReadFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Cause: Sendable, Equatable {
        case system(SystemError)
        /// So many bytes could not be written: the drive, or what may be used of it, is full.
        case full(byteCount: Int)
        case endOfFile
        case checksum(expected: UInt32, found: UInt32)
        /// The bytes are not those that were encrypted.
        case notAuthentic
        /// Nothing arrived for so many seconds.
        case stalled(seconds: Double)
        /// The file is another now, or has other contents, than when its reading began.
        case changed
        /// O_DIRECT gave other bytes than the page cache.
        case directReadDiffers
        /// Nobody wants the result any more.
        case cancelled
        /// The page cache keeps what is read: there is no drive to measure.
        case inMemory
    }

    package let file: String
    package let fileOffset: UInt64
    package let cause: Cause

    package init(file: String, fileOffset: UInt64, cause: Cause) {
        self.file = file
        self.fileOffset = fileOffset
        self.cause = cause
    }

    /// Whether the bytes came and were wrong, rather than not at all.
    package var isDamage: Bool {
        switch cause {
        case .checksum, .endOfFile, .notAuthentic: true
        case .system, .full, .directReadDiffers, .stalled, .cancelled, .changed, .inMemory: false
        }
    }

    /// Whether the drive merely did not answer in time, or nobody waits any more.
    package var isDelay: Bool {
        switch cause {
        case .stalled, .cancelled: true
        case .system, .full, .endOfFile, .checksum, .notAuthentic, .directReadDiffers, .changed,
            .inMemory:
            false
        }
    }

    package var description: String {
        let place = "\(file) at byte \(fileOffset)"
        return switch cause {
        case .system(let error): "\(place): \(error)"
        case .full(let byteCount):
            "\(place): no room is left on the drive for \(byteCount) bytes"
        case .endOfFile: "\(place): the file ends too early; was it replaced or cut short?"
        case .stalled(let seconds):
            "\(place): the drive has not answered for \(seconds) s, the most that a read may take"
        case .changed: "\(file): the file was changed while it was being read"
        case .inMemory: "\(file): reads come from memory, not from a drive that could be measured"
        case .cancelled: "\(file): reading was cancelled"
        case .directReadDiffers:
            "\(place): direct reads return other bytes than buffered ones"
        case .notAuthentic:
            "\(place): encrypted weights are damaged, or were changed: they do not fit their tag"
        case .checksum(let expected, let found):
            "\(place): weights are damaged: expected checksum \(expected), found \(found)"
        }
    }
}

extension ReadFailure: EndingError {
    package var exitStatus: ExitStatus { isDamage ? .badData : .inputOutput }
}
