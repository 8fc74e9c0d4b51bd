// Keys of a page that are turned on, against the rotation of later positions in double precision.

import Compute
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

@Suite struct TurningTests {
    private static let (width, pairs, heads, distance) = (24, 8, 2, 1000)
    private static let page = KVPageShape(
        format: KVFormat(.float), headCount: heads, keyHeadWidth: width, valueHeadWidth: 8)

    /// Radians that a pair turns by in a position.
    private func frequency(_ pair: Int) -> Double { pow(1000, -Double(pair) / 8) }

    /// A head's numbers turned to a position, then times the norm's weights.
    private func key(
        _ x: ArraySlice<Float>, _ pairing: RotaryPairing, _ weights: [Float]?, position: Int
    ) -> [Double] {
        var key = x.map(Double.init)
        for pair in 0..<Self.pairs {
            let (first, second) =
                pairing == .halves ? (pair, pair + Self.pairs) : (2 * pair, 2 * pair + 1)
            let angle = Double(position) * frequency(pair)
            let (a, b) = (key[first], key[second])
            key[first] = a * cos(angle) - b * sin(angle)
            key[second] = a * sin(angle) + b * cos(angle)
        }
        return key.enumerated().map { $1 * Double(weights?[$0] ?? 1) }
    }

    private func part(_ head: Int, page: Int) -> CachePart {
        CachePart(
            isKeys: true, bits: 32, width: Self.width,
            offset: page * Self.page.byteCount + head * Self.page.keyBytes)
    }

    /// Norms may come before the rotation, or after it, when their weights stay where they are.
    @Test(arguments: [RotaryPairing.halves, .adjacent], [false, true])
    func keysTurnAsIfTheyHadComeLater(pairing: RotaryPairing, isNormedLast: Bool) {
        var random = SplitMix(seed: 0x71)
        let x = random.floats(Self.heads * 64 * Self.width, .ordinary)
        let weights =
            isNormedLast ? (0..<Self.width).map { $0 == 3 ? 0 : 0.5 + Float($0) / 16 } : nil
        func key(_ head: Int, _ slot: Int, _ later: Int) -> [Double] {
            let start = (head * 64 + slot) * Self.width
            return self.key(
                x[start..<start + Self.width], pairing, weights, position: slot + later)
        }
        var pool = [UInt8](repeating: 0, count: 2 * Self.page.byteCount)
        for head in 0..<Self.heads {
            for slot in 0..<64 {
                for (index, number) in key(head, slot, 0).enumerated() {
                    let place = part(head, page: 0)
                    let byte = place.offset + place.numberByte(slot: slot, index: index)
                    for shift in 0..<4 {
                        pool[byte + shift] = UInt8(
                            truncatingIfNeeded: Float(number).bitPattern >> UInt32(8 * shift))
                    }
                }
            }
        }
        let angles = (0..<Self.pairs).map { Double(Self.distance) * frequency($0) }
        var span = pool.mutableSpan
        var bytes = unsafe span.mutableBytes
        Kernels.best.turnKeys(
            Self.page, KeyTurn(angles: angles, pairing: pairing, weights: weights), from: 0,
            to: Self.page.byteCount, pool: &bytes, team: alone)
        for head in 0..<Self.heads {
            for slot in 0..<64 {
                for (index, exact) in key(head, slot, Self.distance).enumerated() {
                    // What a weight of 0 took away cannot come back.
                    if weights != nil && [3, 3 + Self.pairs, 2].contains(index) { continue }
                    let found = part(head, page: 1).number(slot: slot, index: index, in: pool)
                    #expect(abs(found.value - exact) < 1e-4, "\(head) \(slot) \(index)")
                }
            }
        }
    }
}
