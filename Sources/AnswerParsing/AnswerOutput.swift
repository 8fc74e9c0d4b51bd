// The parts of an answer as they are found: neighbouring pieces become one, and white space waits
// until it is known whether anything follows it.

struct AnswerOutput: Sendable {
    private enum Kind { case content, reasoning, arguments }

    /// White space that waits, at most; more of it is text.
    private static let spaceMax = 256

    private(set) var parts: [AnswerPart] = []
    private var kind = Kind.content
    private var bytes: [UInt8] = []
    private var space: [UInt8] = []
    /// White space at the beginning of what comes next is left out.
    private var dropsSpace = false
    /// Something was said.
    private(set) var hasContent = false
    private(set) var hasReasoning = false
    /// Calls that began.
    private(set) var callCount = 0
    private var identifiers: CallIdentifiers

    init(identifiers: CallIdentifiers) { self.identifiers = identifiers }

    mutating func content(_ unit: UInt16) {
        guard !AnswerInput.isSpecial(unit) else { return }
        put(AnswerInput.byte(unit), .content)
    }

    mutating func reasoning(_ unit: UInt16) {
        guard !AnswerInput.isSpecial(unit) else { return }
        put(AnswerInput.byte(unit), .reasoning)
    }

    private mutating func put(_ byte: UInt8, _ kind: Kind) {
        if kind != self.kind { flush() }
        self.kind = kind
        if byte.isSpace {
            guard !dropsSpace else { return }
            space.append(byte)
            if space.count == Self.spaceMax { moveSpace() }
            return
        }
        dropsSpace = false
        moveSpace()
        bytes.append(byte)
        if kind == .content { hasContent = true } else { hasReasoning = true }
    }

    private mutating func moveSpace() {
        bytes += space
        space.removeAll(keepingCapacity: true)
    }

    /// What follows is another part: white space between them is nobody's.
    mutating func separate() {
        space.removeAll(keepingCapacity: true)
        dropsSpace = true
        flush()
    }

    /// What follows is another message of the same kind.
    mutating func separateMessages(isReasoning: Bool) {
        separate()
        if isReasoning ? hasReasoning : hasContent { space = [0x0A, 0x0A] }
    }

    private mutating func flush() {
        defer { bytes.removeAll(keepingCapacity: true) }
        guard !bytes.isEmpty else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        switch kind {
        case .content: parts.append(.content(text))
        case .reasoning: parts.append(.reasoning(text))
        case .arguments: parts.append(.arguments(index: callCount - 1, text))
        }
    }

    // MARK: calls

    /// - Parameter id: the model's own; used where it is one.
    mutating func beginCall(_ name: String, id: String? = nil) {
        separate()
        let id = id.flatMap { CallIdentifiers.isSound($0) ? $0 : nil } ?? identifiers.next()
        parts.append(.callBegan(index: callCount, id: id, name: name))
        callCount += 1
    }

    /// More of the arguments' JSON.
    mutating func arguments(_ text: some Sequence<UInt8>) {
        if kind != .arguments { flush() }
        kind = .arguments
        bytes += text
    }

    mutating func endCall() {
        flush()
        parts.append(.callEnded(index: callCount - 1))
        kind = .content
        dropsSpace = true
    }

    // MARK: giving out

    mutating func take() -> [AnswerPart] {
        flush()
        defer { parts.removeAll() }
        return parts
    }

    /// White space at the answer's end is its own, unless it follows a call or thoughts.
    mutating func finish() {
        if kind == .content, !dropsSpace { moveSpace() }
        flush()
    }
}

/// Ids for calls: as OpenAI's, or of nine letters and digits, which Mistral's templates insist on.
struct CallIdentifiers: Sendable {
    private var state: UInt64
    private let isShort: Bool

    init(seed: UInt64, isShort: Bool) {
        state = seed
        self.isShort = isShort
    }

    mutating func next() -> String {
        let letters = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        var id = isShort ? "" : "call_"
        for _ in 0..<(isShort ? 9 : 24) {
            // SplitMix64.
            state &+= 0x9E37_79B9_7F4A_7C15
            var bits = state
            bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
            bits ^= bits >> 31
            id.unicodeScalars.append(Unicode.Scalar(letters[Int(bits % UInt64(letters.count))]))
        }
        return id
    }

    /// Whether a model's id may be used.
    static func isSound(_ id: String) -> Bool {
        (1...64).contains(id.utf8.count)
            && id.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0) || "_-.:".utf8.contains($0)
            }
    }
}
