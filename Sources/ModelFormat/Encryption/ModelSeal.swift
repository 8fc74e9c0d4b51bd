// An encrypted packed file that a key opens: its units' tags, and who decrypts with them.

package import LinuxSystem
internal import Synchronization

/// What opens an encrypted file's bytes.
package final class ModelSeal: Sendable {
    package let file: String
    package let units: SealedUnits
    private let key: [UInt8]
    private let tags: [AuthenticationTag]

    /// - Throws: `FormatError` when there are not as many tags as units, or libcrypto is missing.
    package init(
        file: String, units: SealedUnits, key: [UInt8], tags: [AuthenticationTag]
    ) throws(FormatError) {
        guard units.count == tags.count else {
            throw FormatError(
                file: file, expected: "\(units.count) tags, as the manifest has units",
                found: "\(tags.count)")
        }
        self.file = file
        self.units = units
        self.key = key
        self.tags = tags
    }

    /// Bytes of memory that the books take.
    package var byteCount: Int { tags.count * AuthenticationTag.byteCount }

    fileprivate func tag(_ unit: SealedUnits.Unit) -> AuthenticationTag { tags[unit.index] }

    /// Who decrypts, on one thread.
    ///
    /// - Throws: `FormatError` where libcrypto is not there.
    package func opener() throws(FormatError) -> SealOpener {
        do throws(DynamicLibraryError) {
            return SealOpener(self, try AuthenticatedCipher(key: key))
        } catch {
            throw .withoutCipher(file, error)
        }
    }
}

/// Decrypts a file's bytes in memory. For one thread at a time.
package final class SealOpener {
    private let seal: ModelSeal
    private let cipher: AuthenticatedCipher

    fileprivate init(_ seal: ModelSeal, _ cipher: AuthenticatedCipher) {
        self.seal = seal
        self.cipher = cipher
    }

    /// Decrypts, in place, all units of `bytes`, which are the file's from `offset` on.
    ///
    /// - Returns: where a unit is that is not what was encrypted, or lies partly in `bytes`, so
    ///   nobody can tell; nil when all are.
    package func open(_ bytes: inout MutableRawSpan, at offset: UInt64) -> UInt64? {
        var damaged: UInt64?
        let end = offset + UInt64(bytes.byteCount)
        var next = offset
        while damaged == nil, let unit = seal.units.unit(endingAfter: next), unit.offset < end {
            guard unit.offset >= offset, unit.end <= end else { return unit.offset }
            let start = Int(unit.offset - offset)
            var part = bytes._mutatingExtracting(start..<start + unit.byteCount)
            if !cipher.open(&part, nonce: unit.offset, tag: seal.tag(unit)) {
                damaged = unit.offset
            }
            next = unit.end
        }
        return damaged
    }
}

/// An encrypted file as the plain one that it was made of. Remembers the last unit.
package final class OpenedByteSource: ByteSource {
    private struct Opened {
        var offset: UInt64 = 0
        var bytes: [UInt8] = []
    }

    package let name: String
    package let byteCount: UInt64
    private let source: any ByteSource
    private let seal: ModelSeal
    private let last = Mutex(Opened())

    package init(_ source: any ByteSource, _ seal: ModelSeal) {
        self.source = source
        self.seal = seal
        name = source.name
        byteCount = source.byteCount
    }

    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let length = UInt64(buffer.byteCount)
        try checkRange(at: offset, count: length)
        var done: UInt64 = 0
        while done < length {
            let place = offset + done
            let unit = seal.units.unit(endingAfter: place)
            guard let unit, unit.offset <= place else {
                // Between units.
                let end = min(unit?.offset ?? .max, offset + length)
                var part = buffer._mutatingExtracting(Int(done)..<Int(end - offset))
                try source.read(at: place, into: &part)
                done = end - offset
                continue
            }
            let end = min(unit.end, offset + length)
            var part = buffer._mutatingExtracting(Int(done)..<Int(end - offset))
            try copy(unit, from: place, into: &part)
            done = end - offset
        }
    }

    private func copy(
        _ unit: SealedUnits.Unit, from place: UInt64, into part: inout MutableRawSpan
    ) throws(FormatError) {
        let bytes = try opened(unit)
        let start = Int(place - unit.offset)
        let source = unsafe bytes.span.bytes
        unsafe part.withUnsafeMutableBytes { target in
            unsafe source.withUnsafeBytes { source in
                unsafe target.copyMemory(
                    from: UnsafeRawBufferPointer(
                        rebasing: source[start..<start + target.count]))
            }
        }
    }

    private func opened(_ unit: SealedUnits.Unit) throws(FormatError) -> [UInt8] {
        let kept = last.withLock { $0 }
        if kept.offset == unit.offset, !kept.bytes.isEmpty { return kept.bytes }
        var bytes = try source.packedBytes(at: unit.offset, count: unit.byteCount)
        let opener = try seal.opener()
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        if let damaged = opener.open(&raw, at: unit.offset) {
            throw FormatError(
                file: name, offset: damaged, expected: "bytes as they were encrypted",
                found: "others: they are damaged, or were changed")
        }
        let opened = Opened(offset: unit.offset, bytes: bytes)
        last.withLock { $0 = opened }
        return opened.bytes
    }
}

extension FormatError {
    /// - Parameter error: what is missing.
    package static func withoutCipher(_ file: String, _ error: DynamicLibraryError) -> FormatError {
        FormatError(
            file: file, expected: "libcrypto (Debian: libssl3), which decrypts models",
            found: "\(error)")
    }
}
