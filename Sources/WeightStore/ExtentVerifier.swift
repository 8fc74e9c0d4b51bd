// Remembers which extents were found good, so that each is checked when it is first read.

internal import ModelFormat

/// When extents are compared with their checksums.
package enum VerificationPolicy: String, Sendable, CaseIterable {
    /// When an extent is read for the first time.
    case first
    /// On every read.
    case always
}

/// Checks extents as they arrive.
struct ExtentVerifier {
    private let policy: VerificationPolicy
    private let file: String
    private var isVerified: [Bool]

    init(file: String, extentCount: Int, policy: VerificationPolicy) {
        self.file = file
        self.policy = policy
        isVerified = Array(repeating: false, count: extentCount)
    }

    /// Whether an extent need not be compared again.
    func isVerified(_ index: Int) -> Bool { isVerified[index] && policy == .first }

    /// Says that extents `indices` are parts of what was found good.
    mutating func note(_ indices: Range<Int>) {
        for index in indices { isVerified[index] = true }
    }

    /// - Returns: the failure, or nil when the bytes are right or were found right before.
    mutating func check(_ bytes: RawSpan, extent index: Int, _ extent: PackedExtent) -> ReadFailure?
    {
        if isVerified[index] && policy == .first { return nil }
        let found = Checksum.of(bytes)
        guard found == extent.checksum else {
            return ReadFailure(
                file: file, fileOffset: extent.offset,
                cause: .checksum(expected: extent.checksum, found: found))
        }
        isVerified[index] = true
        return nil
    }

    /// The same for bytes with checksums for their parts, which lie one after another.
    mutating func check(
        _ bytes: RawSpan, extent index: Int, parts: @autoclosure () -> [PackedExtent]
    ) -> ReadFailure? {
        if isVerified[index] && policy == .first { return nil }
        var start = 0
        for part in parts() {
            let found = Checksum.of(bytes.extracting(start..<start + part.byteCount))
            guard found == part.checksum else {
                return ReadFailure(
                    file: file, fileOffset: part.offset,
                    cause: .checksum(expected: part.checksum, found: found))
            }
            start += part.byteCount
        }
        isVerified[index] = true
        return nil
    }
}
