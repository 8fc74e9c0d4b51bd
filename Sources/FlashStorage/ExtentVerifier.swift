// Remembers which extents were found good, so that each is checked when it is first read.

package import Knobs
package import ModelFormat

/// Checks extents as they arrive.
package struct ExtentVerifier {
    package let policy: VerificationPolicy
    private let file: String
    private var isVerified: [Bool]

    package init(file: String, extentCount: Int, policy: VerificationPolicy) {
        self.file = file
        self.policy = policy
        isVerified = Array(repeating: false, count: extentCount)
    }

    /// Whether an extent need not be compared again.
    package func isVerified(_ index: Int) -> Bool { isVerified[index] && policy == .first }

    /// Says that extents `indices` are parts of what was found good.
    package mutating func note(_ indices: Range<Int>) {
        for index in indices { isVerified[index] = true }
    }

    /// - Returns: the failure, or nil when the bytes are right or were found right before.
    package mutating func check(_ bytes: RawSpan, extent index: Int, _ extent: PackedExtent)
        -> ReadFailure?
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
    package mutating func check(
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
