// SHA-256 (FIPS 180-4): names for blocks and models that nobody can make two of. A few blocks of 64
// bytes at a time; whoever has much to hash looks for another one.

/// 256 bits that stand for what they were made from.
package struct Digest256: Hashable, Sendable, CustomStringConvertible {
    /// The first is the most significant.
    package let words: InlineArray<8, UInt32>

    package init(words: InlineArray<8, UInt32>) { self.words = words }

    /// Of no block: the parent of those that begin a sequence.
    package static let none = Digest256(words: InlineArray(repeating: 0))

    /// The SHA-256 of a text, such as the digest of a model in its manifest.
    package init(hashing text: String) {
        var hash = SHA256()
        for byte in text.utf8 { hash.add(byte) }
        self = hash.finish()
    }

    package static func == (left: Self, right: Self) -> Bool {
        for index in 0..<8 where left.words[index] != right.words[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        for index in 0..<8 { hasher.combine(words[index]) }
    }

    /// In hexadecimal, as others write it.
    package var description: String {
        (0..<8).map { index in
            let digits = String(words[index], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }
}

/// A hash under way.
struct SHA256 {
    private var state: InlineArray<8, UInt32> = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
        0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19
    ]
    private var block: InlineArray<16, UInt32> = InlineArray(repeating: 0)
    private var byteCount = 0

    mutating func add(_ byte: UInt8) {
        let place = byteCount % 64
        let shift = UInt32(24 - 8 * (place % 4))
        if place % 4 == 0 { block[place / 4] = 0 }
        block[place / 4] |= UInt32(byte) << shift
        byteCount += 1
        if place == 63 { compress() }
    }

    /// Four bytes, the most significant first.
    ///
    /// - Precondition: whole words were added before.
    mutating func add(_ word: UInt32) {
        let place = byteCount % 64
        precondition(place % 4 == 0, "words are not added amid one")
        block[place / 4] = word
        byteCount += 4
        if place == 60 { compress() }
    }

    consuming func finish() -> Digest256 {
        let bits = UInt64(byteCount) * 8
        add(UInt8(0x80))
        while byteCount % 64 != 56 { add(UInt8(0)) }
        add(UInt32(truncatingIfNeeded: bits >> 32))
        add(UInt32(truncatingIfNeeded: bits))
        return Digest256(words: state)
    }

    private static func rotate(_ word: UInt32, _ count: UInt32) -> UInt32 {
        word >> count | word << (32 - count)
    }

    private mutating func compress() {
        var schedule: InlineArray<64, UInt32> = InlineArray(repeating: 0)
        for index in 0..<16 { schedule[index] = block[index] }
        for index in 16..<64 {
            let (near, far) = (schedule[index - 2], schedule[index - 15])
            let first = Self.rotate(far, 7) ^ Self.rotate(far, 18) ^ (far >> 3)
            let second = Self.rotate(near, 17) ^ Self.rotate(near, 19) ^ (near >> 10)
            schedule[index] = schedule[index - 16] &+ first &+ schedule[index - 7] &+ second
        }
        var work = state
        for index in 0..<64 {
            let (a, e) = (work[0], work[4])
            let choice = (e & work[5]) ^ (~e & work[6])
            let majority = (a & work[1]) ^ (a & work[2]) ^ (work[1] & work[2])
            let sumE = Self.rotate(e, 6) ^ Self.rotate(e, 11) ^ Self.rotate(e, 25)
            let sumA = Self.rotate(a, 2) ^ Self.rotate(a, 13) ^ Self.rotate(a, 22)
            let first = work[7] &+ sumE &+ choice &+ Self.constants[index] &+ schedule[index]
            work[7] = work[6]
            work[6] = work[5]
            work[5] = e
            work[4] = work[3] &+ first
            work[3] = work[2]
            work[2] = work[1]
            work[1] = a
            work[0] = first &+ sumA &+ majority
        }
        for index in 0..<8 { state[index] = state[index] &+ work[index] }
    }

    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1,
        0x923f_82a4, 0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
        0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786,
        0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147,
        0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
        0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a,
        0x5b9c_ca4f, 0x682e_6ff3, 0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
        0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2
    ]
}
