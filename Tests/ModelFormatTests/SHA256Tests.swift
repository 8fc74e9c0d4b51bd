// SHA-256 against its standard's examples, in pieces of any size.

import ModelFormat
import Testing

@Suite struct SHA256Tests {
    /// FIPS 180-4's examples, and the empty text.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        )
    ])
    func examples(text: String, expected: String) {
        var sum = SHA256()
        sum.add(unsafe Array(text.utf8).span.bytes)
        #expect(sum.hexadecimal == expected)
    }

    /// A million times `a`, in pieces that end anywhere in blocks.
    @Test func piecesMakeTheWhole() {
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        for size in [1_000_000, 1, 63, 64, 65, 1000] {
            let piece = [UInt8](repeating: UInt8(ascii: "a"), count: size)
            var sum = SHA256()
            var left = 1_000_000
            while left > 0 {
                let count = min(left, size)
                sum.add(unsafe piece.span.bytes.extracting(first: count))
                left -= count
            }
            #expect(sum.hexadecimal == expected, "\(size)")
        }
    }
}
