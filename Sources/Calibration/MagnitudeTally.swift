// How often which magnitude occurs: counts by the leading bits of floats, which order them.

struct MagnitudeTally {
    /// Bits of a float beside those that tell bins apart: bins are 1/128 of an octave.
    private static let shift: UInt32 = 16
    private static let binCount = 1 << 15
    private static let bins = Int(Float.infinity.bitPattern >> shift)

    private var counts = [Int](repeating: 0, count: Self.binCount)
    private var total = 0

    mutating func add(_ values: Span<Float>) {
        for index in values.indices {
            counts[Int(values[index].magnitude.bitPattern >> Self.shift)] += 1
        }
        total += values.count
    }

    /// The magnitudes that 1, 2 ... `count` of `count` parts of all values are below, values in a
    /// bin being spread evenly; nil where some are not finite, or there are none.
    func quantiles(_ count: Int) -> [Float]? {
        guard total > 0, counts[Self.bins...].allSatisfy({ $0 == 0 }) else { return nil }
        var result: [Float] = []
        var (bin, below) = (0, 0)
        for part in 1...count {
            let wanted = Double(total) * Double(part) / Double(count)
            while bin < Self.bins - 1, Double(below + counts[bin]) < wanted {
                below += counts[bin]
                bin += 1
            }
            result.append(
                Self.magnitude(bin, share: (wanted - Double(below)) / Double(counts[bin])))
        }
        return result
    }

    /// The first bin is 0 itself, and what is nothing beside any activation.
    private static func magnitude(_ bin: Int, share: Double) -> Float {
        guard bin > 0 else { return 0 }
        let least = Float(bitPattern: UInt32(bin) << shift)
        let end = bin + 1 == bins ? least : Float(bitPattern: UInt32(bin + 1) << shift)
        return least + (end - least) * Float(min(max(share, 0), 1))
    }
}
