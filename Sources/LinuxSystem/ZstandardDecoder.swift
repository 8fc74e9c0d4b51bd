// Zstandard (RFC 8878) undone, by libzstd. The library is opened when the first such text arrives:
// few clients send one.

/// Decodes whole texts into memory of a known size: the decoder has no window of its own, whose
/// size would be the sender's to choose.
@safe
package struct ZstandardDecoder: Sendable {
    private typealias Create = @convention(c) @Sendable () -> UnsafeMutableRawPointer?
    private typealias Free = @convention(c) @Sendable (UnsafeMutableRawPointer?) -> Int
    private typealias Decompress =
        @convention(c) @Sendable (
            UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int, UnsafeRawPointer?, Int
        ) -> Int
    private typealias ErrorCode = @convention(c) @Sendable (Int) -> CInt

    /// Why a text was not decoded.
    package enum Problem: Error, Sendable, Equatable {
        /// It is longer than the memory that was given.
        case tooLong
        /// It is none, or is damaged.
        case malformed
        /// There is no memory for the decoder itself.
        case noMemory
    }

    /// `ZSTD_error_dstSize_tooSmall`, a number that is part of the library's interface.
    private static let destinationTooSmall: CInt = 70

    private let create: Create
    private let free: Free
    private let decompress: Decompress
    private let errorCode: ErrorCode

    /// Opens the library.
    ///
    /// - Throws: `DynamicLibraryError` where it is not there.
    package init() throws(DynamicLibraryError) {
        let library = try DynamicLibrary(names: ["libzstd.so.1"])
        unsafe create = try library.function("ZSTD_createDCtx", as: Create.self)
        unsafe free = try library.function("ZSTD_freeDCtx", as: Free.self)
        unsafe decompress = try library.function("ZSTD_decompressDCtx", as: Decompress.self)
        errorCode = try library.function("ZSTD_getErrorCode", as: ErrorCode.self)
    }

    /// Decodes `text` into `output`, and returns how many bytes it has.
    package func decode(
        _ text: RawSpan, into output: inout MutableRawSpan
    ) throws(Problem) -> Int {
        guard let context = unsafe create() else { throw .noMemory }
        defer { _ = unsafe free(context) }
        let count = unsafe output.withUnsafeMutableBytes { output in
            unsafe text.withUnsafeBytes { text in
                unsafe decompress(
                    context, output.baseAddress, output.count, text.baseAddress, text.count)
            }
        }
        switch errorCode(count) {
        case 0: return count
        case Self.destinationTooSmall: throw .tooLong
        default: throw .malformed
        }
    }
}
