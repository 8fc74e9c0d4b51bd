// Text files that commands take: read whole, with a limit, or piece by piece.

internal import Glibc
internal import LinuxSystem

enum TextInput {
    private static let bytesMax: UInt64 = 256 << 20

    /// The bytes of a regular file.
    ///
    /// - Throws: `SystemError` when it cannot be read, or is larger than 256 MiB (EFBIG).
    static func read(_ path: String) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor(path: path, mode: .read)
        let count = try file.byteCount()
        guard count <= bytesMax else {
            throw SystemError("read", errorNumber: EFBIG, subject: path)
        }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let found = try file.read(at: 0, into: &raw)
        return Array(bytes.prefix(found))
    }

    /// The bytes of a regular file, or of standard input.
    ///
    /// - Parameter path: nil is standard input.
    /// - Throws: as ``read(_:)``.
    static func bytes(of path: String?) throws -> [UInt8] {
        if let path { return try read(path) }
        var bytes: [UInt8] = []
        try readInputPieces { piece in
            guard bytes.count < bytesMax else {
                throw SystemError("read", errorNumber: EFBIG, subject: "standard input")
            }
            bytes += piece
        }
        return bytes
    }

    /// Hands the bytes of a regular file, or of standard input, to `body` in pieces, however many.
    ///
    /// - Parameter path: nil is standard input.
    /// - Throws: `SystemError` when it cannot be read, and what `body` throws.
    static func readPieces(of path: String?, _ body: ([UInt8]) throws -> Void) throws {
        guard let path else { return try readInputPieces(body) }
        let file = try FileDescriptor(path: path, mode: .read)
        var offset: UInt64 = 0
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            let count = try file.read(at: offset, into: &raw)
            if count == 0 { return }
            try body(count == bytes.count ? bytes : Array(bytes.prefix(count)))
            offset += UInt64(count)
        }
    }

    private static func readInputPieces(_ body: ([UInt8]) throws -> Void) throws {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe Glibc.read(STDIN_FILENO, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw SystemError("read", errorNumber: errno, subject: "standard input")
            }
            if count == 0 { return }
            try body(Array(bytes.prefix(count)))
        }
    }
}
