// The cipher and the code against published vectors, and what it says of bytes that were changed.

import LinuxSystem
import Testing

private func bytes(_ digits: String) -> [UInt8] {
    let digits = Array(digits)
    return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(digits[$0..<$0 + 2]), radix: 16) ?? 0
    }
}

@Suite struct CipherTests {
    /// Test case 14 of "The Galois/Counter Mode of Operation" (McGrew, Viega): all zeros.
    @Test func equalsThePublishedVector() throws {
        let cipher = try AuthenticatedCipher(key: [UInt8](repeating: 0, count: 32))
        var text = [UInt8](repeating: 0, count: 16)
        var span = text.mutableSpan
        var raw = unsafe span.mutableBytes
        let tag = cipher.seal(&raw, nonce: 0)
        #expect(text == bytes("cea7403d4d606b6e074ec5d3baf39d18"))
        #expect(tag.bytes == bytes("d0d1c8a799996bf0265b98b5d48ab919"))
    }

    /// Test case 2 of RFC 4231.
    @Test func codeEqualsThePublishedVector() throws {
        let code = try AuthenticatedCipher.authenticate(
            Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8))
        let expected = bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        #expect(code == expected)
    }

    @Test func whatWasChangedDoesNotOpen() throws {
        let cipher = try AuthenticatedCipher(key: Array(0..<32))
        let text = (0..<5000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        var sealed = text
        let tag = Self.seal(&sealed, cipher, nonce: 4096, additional: [1, 2])
        #expect(sealed != text)
        #expect(Self.opened(sealed, cipher, 4096, tag, [1, 2]) == text)
        #expect(Self.opened(sealed, cipher, 8192, tag, [1, 2]) == nil)
        #expect(Self.opened(sealed, cipher, 4096, tag, [1, 3]) == nil)
        for index in [0, 17, 4999] {
            var changed = sealed
            changed[index] ^= 1
            #expect(Self.opened(changed, cipher, 4096, tag, [1, 2]) == nil)
        }
        #expect(Self.opened(Array(sealed.dropLast()), cipher, 4096, tag, [1, 2]) == nil)
        let other = try AuthenticatedCipher(key: Array(1..<33))
        #expect(Self.opened(sealed, other, 4096, tag, [1, 2]) == nil)
        // And a cipher that refused goes on.
        #expect(Self.opened(sealed, cipher, 4096, tag, [1, 2]) == text)
    }

    @Test func nothingHasATag() throws {
        let cipher = try AuthenticatedCipher(key: Array(0..<32))
        var nothing: [UInt8] = []
        let tag = Self.seal(&nothing, cipher, nonce: 1, additional: [])
        #expect(Self.opened([], cipher, 1, tag, []) == [])
        #expect(Self.opened([], cipher, 2, tag, []) == nil)
    }

    private static func seal(
        _ text: inout [UInt8], _ cipher: AuthenticatedCipher, nonce: UInt64, additional: [UInt8]
    ) -> AuthenticationTag {
        var span = text.mutableSpan
        var raw = unsafe span.mutableBytes
        return cipher.seal(&raw, nonce: nonce, additional: additional)
    }

    private static func opened(
        _ text: [UInt8], _ cipher: AuthenticatedCipher, _ nonce: UInt64, _ tag: AuthenticationTag,
        _ additional: [UInt8]
    ) -> [UInt8]? {
        var text = text
        var span = text.mutableSpan
        var raw = unsafe span.mutableBytes
        let isOpen = cipher.open(&raw, nonce: nonce, tag: tag, additional: additional)
        return isOpen ? text : nil
    }
}
