// Damaged copies of a valid file, for tests that a parser refuses hostile input. Deterministic: a
// seed and a count name the same mutations for ever. Knows nothing about any format: the caller
// says where the interesting fields are.

/// A field of a file: what a mutation aims at.
package struct FileField: Sendable, Equatable {
    package let name: String
    package let offset: Int
    package let byteCount: Int
    /// Whether the field is text (JSON), where hostile numbers are spelt out.
    package let isText: Bool

    package init(name: String, offset: Int, byteCount: Int, isText: Bool = false) {
        self.name = name
        self.offset = offset
        self.byteCount = byteCount
        self.isText = isText
    }

    package var range: Range<Int> { offset..<offset + byteCount }
}

package enum FileMutator {
    package typealias Mutation = (name: String, bytes: [UInt8])

    /// `count` damaged copies of `bytes`: flipped bits, extreme numbers in fields, fields
    /// exchanged, ranges spliced, inserted, deleted, doubled, cleared, the file cut or lengthened.
    ///
    /// - Parameters:
    ///   - fields: Where numbers and lengths are; random places when there are none.
    ///   - range: Where to damage: a header, say. The whole file when nil.
    package static func mutations(
        of bytes: [UInt8], fields: [FileField] = [], within range: Range<Int>? = nil,
        seed: UInt64, count: Int
    ) -> [Mutation] {
        precondition(bytes.count >= 16, "a file worth mutating")
        var mutator = Mutator(
            bytes: bytes, fields: fields, range: range ?? 0..<bytes.count,
            random: SplitMix(seed: seed))
        return (0..<count).map { index in
            let (name, bytes) = mutator.next(index)
            return ("\(index) \(name)", bytes)
        }
    }

    /// One damaged copy of `bytes`, as ``mutations(of:fields:within:seed:count:)`` makes them;
    /// every third is damaged further at random places.
    package static func mutation(
        of bytes: [UInt8], fields: [FileField] = [], within range: Range<Int>? = nil,
        _ random: inout SplitMix
    ) -> Mutation {
        precondition(bytes.count >= 16, "a file worth mutating")
        var first = Mutator(
            bytes: bytes, fields: fields, range: range ?? 0..<bytes.count,
            random: SplitMix(seed: random.next()))
        var result = first.next(Int.random(in: 0..<18, using: &random))
        while result.bytes.count >= 16, Int.random(in: 0..<3, using: &random) == 0 {
            let end = min(result.bytes.count, range?.upperBound ?? .max)
            var next = Mutator(
                bytes: result.bytes, fields: [],
                range: min(range?.lowerBound ?? 0, end - 16)..<end,
                random: SplitMix(seed: random.next()))
            let (name, bytes) = next.next(Int.random(in: 0..<18, using: &random))
            result = (result.name + ", " + name, bytes)
        }
        return result
    }

    /// `bytes` with up to `editsMax` damages: as ``mutation(of:fields:within:_:)`` makes them, or
    /// one of `pieces` put in the place of up to `lengthMax` bytes.
    package static func edited(
        _ bytes: [UInt8], with pieces: [String], editsMax: Int, lengthMax: Int,
        _ random: inout SplitMix
    ) -> [UInt8] {
        func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
        var bytes = bytes
        for _ in 0..<1 + below(editsMax) {
            if below(3) == 0, bytes.count >= 16 {
                bytes = mutation(of: bytes, &random).bytes
            } else {
                let place = below(bytes.count + 1)
                let end = below(2) == 0 ? place : min(bytes.count, place + below(lengthMax + 1))
                bytes.replaceSubrange(place..<end, with: pieces[below(pieces.count)].utf8)
            }
        }
        return bytes
    }

    /// The file cut at the start and in the middle of every field.
    package static func truncations(of bytes: [UInt8], fields: [FileField]) -> [Mutation] {
        fields.flatMap { field in
            [field.offset, field.offset + field.byteCount / 2].map { length in
                ("cut to \(length) bytes in \(field.name)", Array(bytes.prefix(length)))
            }
        }
    }
}

private struct Mutator {
    let bytes: [UInt8]
    let fields: [FileField]
    let range: Range<Int>
    var random: SplitMix

    /// Half of all mutations put an extreme number into a field; that is where parsers break.
    mutating func next(_ index: Int) -> FileMutator.Mutation {
        if index % 2 == 0 { return extreme() }
        return switch (index / 2) % 9 {
        case 0: bitFlips()
        case 1: exchange()
        case 2: splice()
        case 3: insertion()
        case 4: deletion()
        case 5: fill(0)
        case 6: fill(0xFF)
        case 7: truncation()
        default: growth()
        }
    }

    private mutating func field() -> FileField {
        if let field = fields.randomElement(using: &random) { return field }
        let size = [4, 8].randomElement(using: &random) ?? 8
        let last = max(range.lowerBound, range.upperBound - size)
        let offset = Int.random(in: range.lowerBound...last, using: &random)
        return FileField(
            name: "byte \(offset)", offset: offset, byteCount: min(size, bytes.count - offset))
    }

    private mutating func place() -> Int { Int.random(in: range, using: &random) }

    private mutating func stretch() -> Range<Int> {
        let start = place()
        let length = Int.random(in: 1...64, using: &random)
        return start..<min(range.upperBound, start + length)
    }

    private mutating func extreme() -> FileMutator.Mutation {
        let field = field()
        if field.isText {
            let numbers = [
                "-1", "0", "1", "9223372036854775807", "9223372036854775808",
                "18446744073709551616", "1e999", "1.5", "null", "[[[[", "{", "\"", "\"\\u0000\""
            ]
            let text = numbers.randomElement(using: &random) ?? "-1"
            var result = bytes
            result.replaceSubrange(field.range, with: text.utf8)
            return ("\(field.name) = \(text)", result)
        }
        var value: UInt64 = 0
        for (index, byte) in bytes[field.range].prefix(8).enumerated() {
            value |= UInt64(byte) << (8 * index)
        }
        let bits = 8 * min(8, field.byteCount)
        let top: UInt64 = 1 << (bits - 1)
        let values: [UInt64] = [
            0, 1, top, top - 1, top | (top - 1), (top | (top - 1)) - 1, value &+ 1, value &- 1,
            value &* 2, value ^ top, ~value, 0x10_0000, UInt64.random(in: 0...255, using: &random),
            random.next()
        ]
        let chosen = values.randomElement(using: &random) ?? 0
        var result = bytes
        for index in 0..<min(8, field.byteCount) {
            result[field.offset + index] = UInt8(truncatingIfNeeded: chosen >> (8 * index))
        }
        return ("\(field.name) = 0x\(String(chosen, radix: 16))", result)
    }

    private mutating func bitFlips() -> FileMutator.Mutation {
        var result = bytes
        var places: [String] = []
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = place()
            let bit = Int.random(in: 0..<8, using: &random)
            result[place] ^= 1 << bit
            places.append("\(place).\(bit)")
        }
        return ("flip \(places.joined(separator: " "))", result)
    }

    private mutating func exchange() -> FileMutator.Mutation {
        let (one, other) = (field(), field())
        let count = min(one.byteCount, other.byteCount)
        var result = bytes
        for index in 0..<count {
            result[one.offset + index] = bytes[other.offset + index]
            result[other.offset + index] = bytes[one.offset + index]
        }
        return ("exchange \(one.name) and \(other.name)", result)
    }

    private mutating func splice() -> FileMutator.Mutation {
        let source = stretch()
        let target = place()
        let count = min(source.count, bytes.count - target)
        var result = bytes
        result.replaceSubrange(target..<target + count, with: bytes[source].prefix(count))
        return ("splice \(source) over \(target)", result)
    }

    private mutating func insertion() -> FileMutator.Mutation {
        let target = place()
        let count = Int.random(in: 1...32, using: &random)
        var result = bytes
        let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
        result.insert(contentsOf: noise, at: target)
        return ("insert \(count) bytes at \(target)", result)
    }

    private mutating func deletion() -> FileMutator.Mutation {
        let gone = stretch()
        var result = bytes
        result.removeSubrange(gone)
        return ("delete \(gone)", result)
    }

    private mutating func fill(_ byte: UInt8) -> FileMutator.Mutation {
        let filled = stretch()
        var result = bytes
        for index in filled { result[index] = byte }
        return ("fill \(filled) with \(byte)", result)
    }

    private mutating func truncation() -> FileMutator.Mutation {
        let length = Int.random(in: 0..<bytes.count, using: &random)
        return ("cut to \(length) bytes", Array(bytes.prefix(length)))
    }

    private mutating func growth() -> FileMutator.Mutation {
        let source = stretch()
        var result = bytes
        result.insert(contentsOf: bytes[source], at: source.upperBound)
        return ("double \(source)", result)
    }
}
