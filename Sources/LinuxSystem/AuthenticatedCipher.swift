// AES-256-GCM (NIST SP 800-38D) in place, and HMAC-SHA-256 (RFC 2104), by OpenSSL's libcrypto. The
// library is opened when the first encrypted model is: most processes never have one.

internal import Glibc
internal import Synchronization

/// What proves that bytes are those that were encrypted, and were encrypted with the key.
@frozen
package struct AuthenticationTag: Sendable, Equatable {
    package static let byteCount = 16

    var low: UInt64 = 0
    var high: UInt64 = 0

    /// The tag whose bytes are at `offset`.
    package init(_ bytes: RawSpan, at offset: Int = 0) {
        low = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        high = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
    }

    fileprivate init() {}

    package var bytes: [UInt8] { unsafe withUnsafeBytes(of: self) { unsafe Array($0) } }
}

/// A cipher with its key, for one thread at a time.
@safe
package final class AuthenticatedCipher {
    package static let keyBytes = 32
    private static let nonceBytes = 12
    /// The library counts bytes in 32 bits.
    private static let pieceBytesMax = 1 << 30

    private let functions: CipherFunctions
    private let context: UnsafeMutableRawPointer

    /// - Throws: `DynamicLibraryError` where the library is not there.
    /// - Precondition: the key has ``keyBytes``.
    package init(key: [UInt8]) throws(DynamicLibraryError) {
        precondition(key.count == Self.keyBytes, "a key of 256 bits")
        functions = try CipherFunctions.opened()
        guard let context = unsafe functions.create(),
            unsafe functions.begin(context, functions.aes256GCM(), nil, key, nil, 1) == 1
        else { throw DynamicLibraryError(missing: "AES-256-GCM") }
        unsafe self.context = context
    }

    deinit { unsafe functions.free(context) }

    /// Encrypts `bytes` in place.
    ///
    /// - Parameters:
    ///   - nonce: never used twice with one key.
    ///   - additional: bytes that the tag vouches for, too, and that are not encrypted.
    package func seal(
        _ bytes: inout MutableRawSpan, nonce: UInt64, additional: [UInt8] = []
    ) -> AuthenticationTag {
        turn(&bytes, nonce, additional, encrypts: true)
        var tag = AuthenticationTag()
        let isTold = unsafe withUnsafeMutableBytes(of: &tag) { tag in
            unsafe functions.end(context, nil, tag.count)
                && functions.control(
                    context, CipherFunctions.getTag, CInt(tag.count), tag.baseAddress) == 1
        }
        precondition(isTold, "encrypting what is in memory")
        return tag
    }

    /// Decrypts `bytes` in place.
    ///
    /// - Returns: whether they are what was encrypted, with this key, nonce and `additional`. If
    ///   not, what they are now means nothing.
    package func open(
        _ bytes: inout MutableRawSpan, nonce: UInt64, tag: AuthenticationTag,
        additional: [UInt8] = []
    ) -> Bool {
        turn(&bytes, nonce, additional, encrypts: false)
        var tag = tag
        return unsafe withUnsafeMutableBytes(of: &tag) { tag in
            unsafe functions.control(
                context, CipherFunctions.setTag, CInt(tag.count), tag.baseAddress) == 1
                && functions.end(context, nil, tag.count)
        }
    }

    private func turn(
        _ bytes: inout MutableRawSpan, _ nonce: UInt64, _ additional: [UInt8], encrypts: Bool
    ) {
        var count: CInt = 0
        let hasBegun = unsafe withUnsafeTemporaryAllocation(
            byteCount: Self.nonceBytes, alignment: 1
        ) { vector in
            unsafe vector.storeBytes(of: 0, as: UInt32.self)
            unsafe vector.storeBytes(of: nonce.littleEndian, toByteOffset: 4, as: UInt64.self)
            return unsafe functions.begin(
                context, nil, nil, nil, vector.baseAddress, encrypts ? 1 : 0)
        }
        precondition(hasBegun == 1, "a cipher that has its key")
        if !additional.isEmpty {
            let isTaken = unsafe functions.update(
                context, nil, &count, additional, CInt(additional.count))
            precondition(isTaken == 1, "bytes that are in memory")
        }
        unsafe bytes.withUnsafeMutableBytes { bytes in
            var done = 0
            while done < bytes.count {
                let length = min(Self.pieceBytesMax, bytes.count - done)
                let place = unsafe bytes.baseAddress.map { unsafe $0 + done }
                let isTaken = unsafe functions.update(
                    context, place, &count, place, CInt(length))
                precondition(isTaken == 1, "bytes that are in memory")
                done += length
            }
        }
    }

    /// The code that authenticates `message` with `key`: 32 bytes.
    ///
    /// - Throws: `DynamicLibraryError` where the library is not there.
    package static func authenticate(
        _ message: [UInt8], key: [UInt8]
    ) throws(DynamicLibraryError) -> [UInt8] {
        let functions = try CipherFunctions.opened()
        var code = [UInt8](repeating: 0, count: 32)
        let result = unsafe functions.authenticate(
            functions.sha256(), key, CInt(key.count), message, message.count, &code, nil)
        guard unsafe result != nil else { throw DynamicLibraryError(missing: "HMAC-SHA-256") }
        return code
    }
}

/// What is used of libcrypto; its numbers are part of its interface (EVP_EncryptInit(3)).
@safe
private struct CipherFunctions: Sendable {
    typealias Pointer = UnsafeMutableRawPointer
    typealias Make = @convention(c) @Sendable () -> Pointer?
    typealias Free = @convention(c) @Sendable (Pointer?) -> Void
    typealias Begin =
        @convention(c) @Sendable (
            Pointer?, Pointer?, Pointer?, UnsafeRawPointer?, UnsafeRawPointer?, CInt
        ) -> CInt
    typealias Update =
        @convention(c) @Sendable (
            Pointer?, Pointer?, UnsafeMutablePointer<CInt>?, UnsafeRawPointer?, CInt
        ) -> CInt
    typealias Final =
        @convention(c) @Sendable (Pointer?, Pointer?, UnsafeMutablePointer<CInt>?) -> CInt
    typealias Control = @convention(c) @Sendable (Pointer?, CInt, CInt, Pointer?) -> CInt
    typealias Authenticate =
        @convention(c) @Sendable (
            Pointer?, UnsafeRawPointer?, CInt, UnsafeRawPointer?, Int, Pointer?,
            UnsafeMutablePointer<CUnsignedInt>?
        ) -> Pointer?

    static let getTag: CInt = 0x10
    static let setTag: CInt = 0x11

    let create: Make
    let free: Free
    let aes256GCM: Make
    let sha256: Make
    let begin: Begin
    let update: Update
    let control: Control
    let authenticate: Authenticate
    private let final: Final

    private static let found = Mutex<CipherFunctions?>(nil)

    /// Found once; a library that is missing may be installed.
    static func opened() throws(DynamicLibraryError) -> CipherFunctions {
        try found.withLock { found throws(DynamicLibraryError) in
            if let found { return found }
            let functions = try CipherFunctions()
            found = functions
            return functions
        }
    }

    private init() throws(DynamicLibraryError) {
        let library = try DynamicLibrary(names: ["libcrypto.so.3", "libcrypto.so.1.1"])
        unsafe create = try library.function("EVP_CIPHER_CTX_new", as: Make.self)
        unsafe free = try library.function("EVP_CIPHER_CTX_free", as: Free.self)
        unsafe aes256GCM = try library.function("EVP_aes_256_gcm", as: Make.self)
        unsafe sha256 = try library.function("EVP_sha256", as: Make.self)
        unsafe begin = try library.function("EVP_CipherInit_ex", as: Begin.self)
        unsafe update = try library.function("EVP_CipherUpdate", as: Update.self)
        unsafe control = try library.function("EVP_CIPHER_CTX_ctrl", as: Control.self)
        unsafe final = try library.function("EVP_CipherFinal_ex", as: Final.self)
        unsafe authenticate = try library.function("HMAC", as: Authenticate.self)
    }

    /// Whether an operation ended well; no bytes come of it.
    func end(_ context: Pointer, _ place: Pointer?, _ roomBytes: Int) -> Bool {
        var count: CInt = 0
        return unsafe withUnsafeTemporaryAllocation(byteCount: roomBytes, alignment: 1) { room in
            unsafe final(context, place ?? room.baseAddress, &count) == 1 && count == 0
        }
    }
}
