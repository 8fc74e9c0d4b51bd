// What is asked of a FlashReader, and what comes back.

package import LinuxSystem

/// What a caller knows its request by. Comes back with the completion; means nothing to the reader.
package struct FlashTicket: RawRepresentable, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// One extent to read into the arena, or to write from it.
package struct FlashRequest: Sendable, Equatable {
    package var ticket: FlashTicket
    package var direction: StorageDirection
    package var file: FileIndex
    /// A multiple of the file's blocks.
    package var fileOffset: UInt64
    /// A multiple of the file's blocks.
    package var byteCount: Int
    package var arenaOffset: Int
    /// Transferred in pieces of at most so many bytes, whole sectors.
    package var pieceBytesMax: Int

    package init(
        _ ticket: FlashTicket, _ direction: StorageDirection = .read, file: FileIndex = .first,
        fileOffset: UInt64, byteCount: Int, arenaOffset: Int, pieceBytesMax: Int = .max
    ) {
        self.ticket = ticket
        self.direction = direction
        self.file = file
        self.fileOffset = fileOffset
        self.byteCount = byteCount
        self.arenaOffset = arenaOffset
        self.pieceBytesMax = pieceBytesMax
    }
}

/// A request that ended, well or badly.
package struct FlashCompletion: Sendable, Equatable {
    package let request: FlashRequest
    package let failure: ReadFailure?
}

/// What a reader transferred, and how long that took.
package struct FlashStatistics: Sendable, Equatable {
    /// Bytes that the device brought, and took.
    package internal(set) var bytesRead: UInt64 = 0
    package internal(set) var bytesWritten: UInt64 = 0
    /// Time that callers spent waiting in ``FlashReader/next(waiting:)``.
    package internal(set) var waitNanoseconds: UInt64 = 0
    /// Time during which requests were under way, as far as callers looked: one that ends while
    /// they compute counts until they look.
    package internal(set) var busyNanoseconds: UInt64 = 0

    package init() {}

    mutating func count(_ bytes: Int, _ direction: StorageDirection) {
        switch direction {
        case .read: bytesRead += UInt64(bytes)
        case .write: bytesWritten += UInt64(bytes)
        }
    }
}
