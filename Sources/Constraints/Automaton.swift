// Rules as a pushdown automaton over bytes: states that take a byte, choose between two ways, call
// a rule or return from one. Immutable once made, so that every thread may read it.

/// 256 bits.
struct ByteSet: Hashable, Sendable {
    private var low: (UInt64, UInt64) = (0, 0)
    private var high: (UInt64, UInt64) = (0, 0)

    init() {}

    init(_ range: ClosedRange<UInt8>) { for byte in range { insert(byte) } }

    mutating func insert(_ byte: UInt8) {
        let bit: UInt64 = 1 << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: low.0 |= bit
        case 1: low.1 |= bit
        case 2: high.0 |= bit
        default: high.1 |= bit
        }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: low.0
            case 1: low.1
            case 2: high.0
            default: high.1
            }
        return word >> UInt64(byte & 63) & 1 != 0
    }

    static func == (left: ByteSet, right: ByteSet) -> Bool {
        left.low == right.low && left.high == right.high
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(low.0)
        hasher.combine(low.1)
        hasher.combine(high.0)
        hasher.combine(high.1)
    }
}

/// A state of the automaton.
struct AutomatonNode: Sendable {
    enum Kind: UInt8, Sendable {
        /// Back to whoever called the rule.
        case end
        /// A byte of the set `operand`, then `next`.
        case byte
        /// The token `operand`, then `next`.
        case token
        /// The rule that begins at `operand`, then `next`.
        case call
        /// Either `operand` or `next`.
        case split
    }

    var kind: Kind
    var operand: Int32
    var next: Int32
}

/// A grammar, ready to be followed.
struct Automaton: Sendable {
    /// The node that ends every rule.
    static let end: Int32 = 0

    let nodes: [AutomatonNode]
    let sets: [ByteSet]
    /// Texts of tokens that it takes.
    let tokens: [String]
    let start: Int32
    /// Bytes that no set tells from each other have one class.
    let classes: [UInt8]
    /// A byte of each class.
    let representatives: [UInt8]

    /// Bytes that it keeps.
    var byteCount: Int {
        nodes.count * MemoryLayout<AutomatonNode>.stride + sets.count * 32 + 512
    }

    /// Symbols: classes of bytes, then tokens.
    var symbolCount: Int { representatives.count + tokens.count }

    /// - Parameter bytesMax: what it may keep.
    /// - Throws: `ConstraintError` where a rule cannot be used, or where they are too many.
    init(_ rules: RuleSet, bytesMax: Int) throws(ConstraintError) {
        var builder = AutomatonBuilder(try RuleChecks.checked(rules), bytesMax: bytesMax)
        start = try builder.build()
        nodes = builder.nodes
        sets = builder.sets
        tokens = builder.tokens
        (classes, representatives) = Self.classes(of: builder.sets)
    }

    /// Divides the bytes by one set after the other.
    private static func classes(of sets: [ByteSet]) -> ([UInt8], [UInt8]) {
        var classes = [Int](repeating: 0, count: 256)
        var count = 1
        for set in sets where count < 256 {
            var split: [Int: Int] = [:]
            var sizes = [Int](repeating: 0, count: count)
            var inside = [Int](repeating: 0, count: count)
            for byte in 0..<256 {
                sizes[classes[byte]] += 1
                if set.contains(UInt8(byte)) { inside[classes[byte]] += 1 }
            }
            for byte in 0..<256 where set.contains(UInt8(byte)) {
                let old = classes[byte]
                guard inside[old] < sizes[old] else { continue }
                if split[old] == nil {
                    split[old] = count
                    count += 1
                }
                classes[byte] = split[old] ?? old
            }
        }
        var representatives = [UInt8](repeating: 0, count: count)
        for byte in (0..<256).reversed() { representatives[classes[byte]] = UInt8(byte) }
        return (classes.map { UInt8($0) }, representatives)
    }
}
