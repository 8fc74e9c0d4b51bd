// A block: 64 consecutive tokens of a sequence, in all layers. Whose it is, what it is called, and
// where it stands.

package import ModelFormat

/// Whose prefix it is. How fast an answer begins tells whether somebody had the same text before:
/// users do not see each other's.
package enum PrefixOwner: Hashable, Sendable {
    /// Text that nobody has to hide, such as a profile's system prompt: all users find it.
    case everyone
    case user(UInt32)
    /// Any of them, where users share their prefixes.
    case anyUser

    /// As two words, for digests and files.
    var words: (kind: UInt32, uid: UInt32) {
        switch self {
        case .everyone: (0, 0)
        case .user(let uid): (1, uid)
        case .anyUser: (2, 0)
        }
    }

    init?(kind: UInt32, uid: UInt32) {
        switch (kind, uid) {
        case (0, 0): self = .everyone
        case (1, _): self = .user(uid)
        case (2, 0): self = .anyUser
        default: return nil
        }
    }
}

/// What a block is, wherever its pages are.
package struct PrefixBlock: Hashable, Sendable {
    /// Tokens of a block, and of a page.
    package static let tokenCount = 64

    package let owner: PrefixOwner
    package let tokens: [TokenID]
    /// Of the block before it in the sequence; ``Digest256/none`` where there is none.
    package let parent: Digest256
    /// Of these tokens and all before them.
    package let digest: Digest256

    /// - Precondition: ``tokenCount`` tokens.
    package init(tokens: [TokenID], owner: PrefixOwner, parent: Digest256) {
        self.owner = owner
        self.tokens = tokens
        self.parent = parent
        digest = Self.digest(of: tokens.span, owner: owner, parent: parent)
    }

    init(tokens: [TokenID], owner: PrefixOwner, parent: Digest256, digest: Digest256) {
        self.owner = owner
        self.tokens = tokens
        self.parent = parent
        self.digest = digest
    }

    /// The SHA-256 of the parent's digest, the owner and the tokens.
    static func digest(
        of tokens: Span<TokenID>, owner: PrefixOwner, parent: Digest256
    ) -> Digest256 {
        precondition(tokens.count == tokenCount, "blocks are whole")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * (8 + 2 + tokenCount))
        func add(_ word: UInt32) {
            for shift in [24, 16, 8, 0] as [UInt32] {
                bytes.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        for index in 0..<8 { add(parent.words[index]) }
        let (kind, uid) = owner.words
        add(kind)
        add(uid)
        for index in 0..<tokens.count { add(UInt32(bitPattern: tokens[index].rawValue)) }
        return Digest256(hashing: bytes)
    }
}

/// A block's place in the tree. Valid until the tree says that it is gone; then another block may
/// have it.
package struct NodeID: RawRepresentable, Hashable, Sendable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }
}

/// A block's place in the file.
package struct SlotID: RawRepresentable, Hashable, Sendable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }
}
