// Keys of a page that were turned by their positions, turned on: as if their tokens had come later.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// How keys of a page are turned on.
package struct KeyTurn: Sendable {
    let rotatedWidth: Int
    let pairing: RotaryPairing
    /// One row for each token of a page.
    let cosines: [Float]
    let sines: [Float]
    /// As wide as a head: what keys were multiplied by after they turned; nil is nothing.
    let weights: [Float]?

    /// - Parameters:
    ///   - angles: radians, one for each pair; none turn nothing.
    ///   - weights: of a norm of keys that comes after they turn. Turning does not change what the
    ///     norm divides by.
    package init(angles: [Double], pairing: RotaryPairing, weights: [Float]? = nil) {
        rotatedWidth = 2 * angles.count
        self.pairing = pairing
        self.weights = weights
        let (cosines, sines) = (
            angles.map { Float(Mathematics.cosine($0)) }, angles.map { Float(Mathematics.sine($0)) }
        )
        let tokens = 0..<AttentionShape.pageTokens
        self.cosines = tokens.flatMap { _ in cosines }
        self.sines = tokens.flatMap { _ in sines }
    }
}

extension Kernels {
    /// Writes to the page at `target` what the one at `source` holds, with its keys turned on.
    /// Keys are decoded, turned as floats and stored anew, in the page's own format; values stay as
    /// they are.
    ///
    /// - Parameters:
    ///   - source: the byte in `pool` where the page starts.
    ///   - target: alike; the two do not overlap.
    package func turnKeys(
        _ page: KVPageShape, _ turn: KeyTurn, from source: Int, to target: Int,
        pool: inout MutableRawSpan, team: ComputeTeam
    ) {
        let bytes = page.byteCount
        precondition(min(source, target) >= 0 && max(source, target) + bytes <= pool.byteCount)
        precondition(source % page.alignment == 0 && target % page.alignment == 0)
        precondition(source + bytes <= target || target + bytes <= source)
        precondition(turn.rotatedWidth <= page.keyHeadWidth)
        precondition(turn.weights.map { $0.count == page.keyHeadWidth } ?? true)
        let pages = unsafe pool.start
        unsafe (pages + target).update(from: pages + source, count: bytes)
        guard turn.rotatedWidth > 0 else { return }
        let job = unsafe TurnJob(table: table, page: page, turn: turn, part: pages + target)
        unsafe team.run(pieces: page.headCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: TurnJob.self).pointee.run(head: piece)
        }
    }
}

/// What the team's members need to turn keys. The pointers live as long as the call that made it.
@safe
private struct TurnJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let page: KVPageShape
    let turn: KeyTurn
    let part: UnsafeMutablePointer<UInt8>

    func run(head: Int) {
        let (tokens, width) = (AttentionShape.pageTokens, page.keyHeadWidth)
        let keys = unsafe part + head * page.keyBytes
        let bits = page.format.keys.rawValue
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: tokens * width) { floats in
            guard let x = floats.baseAddress else { return }
            unsafe ckernels_unpack_keys(keys, width, bits, x)
            unsafe weigh(x, /)
            unsafe table.pointee.rotate(
                x, tokens, 1, width, turn.rotatedWidth, turn.cosines.span.start,
                turn.sines.span.start, turn.pairing == .halves ? 1 : 0)
            unsafe weigh(x, *)
            unsafe PageRows(table: table, width: width, bits: bits, tokens: tokens)
                .storeKeys(x, in: keys)
        }
    }
}

extension TurnJob {
    /// Takes the norm's weights away, or gives them back; those of 0 leave nothing to turn.
    private func weigh(_ x: UnsafeMutablePointer<Float>, _ change: (Float, Float) -> Float) {
        guard let weights = turn.weights else { return }
        for token in 0..<AttentionShape.pageTokens {
            let row = unsafe x + token * weights.count
            for (index, weight) in weights.enumerated() where weight != 0 {
                unsafe row[index] = change(row[index], weight)
            }
        }
    }
}

/// Rows of one head on their way back from floats, to the first places of a page.
@safe
struct PageRows {
    let table: UnsafePointer<ckernels_table>
    let width: Int
    let bits: Int
    /// 64 where keys have less than 8 bits, or values less than 4.
    let tokens: Int

    func storeKeys(_ x: UnsafePointer<Float>, in part: UnsafeMutablePointer<UInt8>) {
        guard bits < 8 else {
            var rows = unsafe rows(x, bits, part)
            return unsafe table.pointee.store_keys(&rows)
        }
        unsafe withHalves { halves in
            var rows = unsafe rows(x, 16, halves)
            unsafe table.pointee.store_keys(&rows)
            unsafe ckernels_pack_keys(halves, width, bits, part)
        }
    }

    func storeValues(_ x: UnsafePointer<Float>, in part: UnsafeMutablePointer<UInt8>) {
        guard bits < 4 else {
            var rows = unsafe rows(x, bits, part)
            return unsafe table.pointee.store_values(&rows)
        }
        unsafe withHalves { halves in
            var rows = unsafe rows(x, 16, halves)
            unsafe table.pointee.store_values(&rows)
            unsafe ckernels_pack_values(halves, width, bits, part)
        }
    }

    /// Whole pages are coded from halves: room for one head's.
    private func withHalves(_ body: (UnsafeMutablePointer<UInt8>) -> Void) {
        let bytes = 2 * AttentionShape.pageTokens * width
        unsafe withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { halves in
            let bytes = unsafe halves.assumingMemoryBound(to: UInt8.self)
            if let start = bytes.baseAddress { unsafe body(start) }
        }
    }

    private func rows(
        _ x: UnsafePointer<Float>, _ bits: Int, _ part: UnsafeMutablePointer<UInt8>
    ) -> ckernels_page_rows {
        unsafe ckernels_page_rows(
            x: x, stride: width, tokens: tokens, width: width, slot: 0, bits: bits, part: part)
    }
}
