// Which set of kernels is chosen; and what the 8-bit activations do at their edges.

import CKernels
import Compute
import ModelFormat
import TestSupport
import Testing

struct SelectionTests {
    @Test func scalarComesFirstAndTheBestIsAvailable() {
        let names = Kernels.available.map(\.name)
        #expect(names.first == "scalar" && Set(names).count == names.count)
        #expect(names.contains(Kernels.best.name))
    }

    @Test func aLesserSetCanBeAskedFor() {
        for kernels in Kernels.available {
            let chosen = unsafe String(cString: ckernels_choose_table(kernels.name).pointee.name)
            #expect(chosen == kernels.name)
        }
        for name in ["abacus", "", nil] {
            let chosen = unsafe String(cString: ckernels_choose_table(name).pointee.name)
            #expect(chosen == Kernels.available.last?.name)
        }
    }
}

struct QuantizedActivationTests {
    /// The sum of `x` by a Q8_0 row of ones (scale 1), on each set of kernels.
    private func sums(_ x: [Float]) throws -> [Float] {
        let block: [UInt8] = [0x00, 0x3C] + [UInt8](repeating: 1, count: 32)
        let row = (0..<x.count / 32).flatMap { _ in block }
        let matrix = TestMatrix(
            format: .q8_0, rows: 1, columns: x.count, rowMajor: row,
            tiles: RowTiles.interleave(row, format: .q8_0, rows: 1, columns: x.count))
        return try Kernels.available.map { kernels in
            let input = try ProductInput.holding(x, tokens: 1, columns: x.count, kernels: kernels)
            return matrix.product(kernels, by: input, tokens: 1)[0]
        }
    }

    private func block(_ first: Float, _ rest: Float) -> [Float] {
        [first] + [Float](repeating: rest, count: 31)
    }

    @Test func onesSumToTheirNumber() throws {
        // 127 quanta each; 1 / 127 is not exact.
        for found in try sums(block(1, 1) + block(-1, 1) + block(1, 1)) {
            #expect(abs(found - 94) < 94 * 0x1p-11)
        }
    }

    /// Halves of a quantum go to the even neighbour: 0.5 to 0, 1.5 to 2, 2.5 to 2.
    @Test func quantaRoundToNearestEven() throws {
        for (half, quanta) in [(Float(0.5), Float(0)), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2)] {
            for found in try sums(block(127, half)) { #expect(found == 127 + 31 * quanta) }
        }
    }

    @Test func infinitiesAndNaNSpoilTheRowAndNothingTraps() throws {
        for poison in [Float.infinity, -.infinity, .nan, .signalingNaN] {
            for found in try sums(block(1, 1) + block(poison, 1)) { #expect(found.isNaN) }
        }
    }

    @Test func magnitudesNearTheEndsOfTheRangeStayExactOrBecomeZero() throws {
        for value in [Float(3e38), -3e38, 0x1p-99] {
            for found in try sums(block(value, 0)) { #expect(abs(found / value - 1) < 1e-6) }
        }
        for tiny in [Float(0x1p-101), .leastNormalMagnitude, .leastNonzeroMagnitude, 0] {
            for found in try sums(block(tiny, -tiny)) { #expect(found == 0) }
        }
    }
}
