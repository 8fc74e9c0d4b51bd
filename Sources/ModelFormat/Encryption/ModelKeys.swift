// The keys of encrypted models: where they are, and what is derived of them. A key is read when a
// model is opened, and is in no message.

package import LinuxSystem

/// Where keys of encrypted models are.
package struct ModelKeySource: Sendable, Equatable {
    package static let credentialName = "sluice-model-keys"
    private static let fileBytesMax = 64 << 10
    private static let keysMax = 256

    /// A file of keys; nil is `$SLUICE_MODEL_KEYS`, else systemd's credential.
    package var path: String?

    package init(path: String? = nil) { self.path = path }

    /// Where nobody says another place.
    package static let standard = ModelKeySource()

    /// Where that is now; nil where there are no keys.
    package var file: String? {
        if let path = path ?? SystemCalls.environment("SLUICE_MODEL_KEYS") { return path }
        guard let folder = SystemCalls.environment("CREDENTIALS_DIRECTORY") else { return nil }
        let path = folder + "/" + Self.credentialName
        return FileSystem.exists(path) ? path : nil
    }

    /// The keys: 32 bytes as they are, or lines of 64 hexadecimal digits; a line that begins with #
    /// says nothing.
    ///
    /// - Throws: `FormatError` when there are none, or they cannot be read.
    package func keys() throws(FormatError) -> [ModelKey] {
        guard let file else {
            throw FormatError(
                file: "an encrypted model's key",
                expected: "a file of keys, by flash.model_keys, --model-keys, "
                    + "$SLUICE_MODEL_KEYS or the credential \(Self.credentialName)",
                found: "none")
        }
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try SystemCalls.readFile(file, bytesMax: Self.fileBytesMax)
        } catch {
            throw FormatError(
                file: file, expected: "keys of encrypted models", found: "\(error)")
        }
        if bytes.count == AuthenticatedCipher.keyBytes { return [ModelKey(bytes: bytes)] }
        var keys: [ModelKey] = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let text = line.filter { ![0x20, 0x09, 0x0D].contains($0) }
            guard let first = text.first, first != UInt8(ascii: "#") else { continue }
            guard let key = ModelKey(hexadecimal: text) else {
                throw FormatError(
                    file: file, expected: "a key: 32 bytes, or lines of 64 hexadecimal digits",
                    found: "something else")
            }
            keys.append(key)
        }
        guard !keys.isEmpty, keys.count <= Self.keysMax else {
            throw FormatError(
                file: file, expected: "1 to \(Self.keysMax) keys", found: "\(keys.count)")
        }
        return keys
    }
}

/// 256 bits that somebody keeps.
package struct ModelKey: Sendable {
    private let bytes: [UInt8]

    /// - Precondition: 32 bytes.
    package init(bytes: [UInt8]) {
        precondition(bytes.count == AuthenticatedCipher.keyBytes, "a key of 256 bits")
        self.bytes = bytes
    }

    /// The key that 64 hexadecimal digits are.
    package init?(hexadecimal digits: [UInt8]) {
        guard digits.count == 2 * AuthenticatedCipher.keyBytes else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            let pair = String(decoding: digits[index..<index + 2], as: UTF8.self)
            guard pair.allSatisfy(\.isHexDigit), let byte = UInt8(pair, radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        self.init(bytes: bytes)
    }

    /// What one file is encrypted with, and what tells whether this key is its: HKDF-SHA-256
    /// (RFC 5869), a block for each purpose.
    ///
    /// - Parameter salt: the file's, chosen at random.
    /// - Throws: `DynamicLibraryError` where libcrypto is not there.
    package func derived(
        salt: [UInt8]
    ) throws(DynamicLibraryError) -> (key: [UInt8], check: [UInt8]) {
        let root = try AuthenticatedCipher.authenticate(bytes, key: salt)
        func block(_ purpose: String) throws(DynamicLibraryError) -> [UInt8] {
            try AuthenticatedCipher.authenticate(Array(purpose.utf8) + [1], key: root)
        }
        let check = try block("sluice packed model check")
        return (
            try block("sluice packed model"), Array(check.prefix(PackedEncryption.checkBytes))
        )
    }
}
