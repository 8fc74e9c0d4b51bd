// Decrypts what a reader brought of an encrypted file, where it landed.

package import LinuxSystem
package import ModelFormat

/// Opens the bytes of one file that arrive in one arena.
package final class SealedReads {
    private let opener: SealOpener
    private let file: String
    private let arena: MemoryArena

    /// - Throws: `FormatError` where libcrypto is not there.
    package init(_ seal: ModelSeal, arena: MemoryArena) throws(FormatError) {
        opener = try seal.opener()
        file = seal.file
        self.arena = arena
    }

    /// The completion with its bytes decrypted, or with why they are not.
    func opened(_ completion: FlashCompletion) -> FlashCompletion {
        let request = completion.request
        guard completion.failure == nil, request.file == .first, request.direction == .read
        else { return completion }
        let arena = arena
        var bytes = arena.mutableBytes(at: request.arenaOffset, byteCount: request.byteCount)
        let damaged = opener.open(&bytes, at: request.fileOffset)
        guard let damaged else { return completion }
        return FlashCompletion(
            request: request,
            failure: ReadFailure(file: file, fileOffset: damaged, cause: .notAuthentic))
    }
}
