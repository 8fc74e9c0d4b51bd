// Activations on their way into matrix products: the floats and their 8-bit blocks, side by side.

package import LinuxSystem

/// Activations of up to `tokensMax` tokens, as floats and quantised to 8 bits.
///
/// The row stride is the number of columns of the current use, so one input serves matrices of
/// different widths. Write ``floats``, then call `Kernels.prepare`.
@safe
package struct ProductInput: ~Copyable {
    /// Activations that share one 8-bit scale.
    package static let blockElements = 32

    /// `[tokens][columns]`.
    package var floats: Buffer<Float>
    /// `[tokens][columns]`, each in -127...127.
    private var quants: Buffer<Int8>
    /// `[tokens][columns / 32]`: what a quantum is worth.
    private var scales: Buffer<Float>
    /// `[tokens][columns / 16]`: the sum of half a block's quants.
    private var sums: Buffer<Int32>

    /// Cuts room for `tokensMax` rows of `columnsMax` from `arena`.
    package init(tokensMax: Int, columnsMax: Int, in arena: MemoryArena) {
        let sizes = Self.sizes(tokensMax: tokensMax, columnsMax: columnsMax)
        floats = Buffer(count: sizes.elements, in: arena)
        quants = Buffer(count: sizes.elements, in: arena)
        scales = Buffer(count: sizes.blocks, in: arena)
        sums = Buffer(count: 2 * sizes.blocks, in: arena)
    }

    /// Bytes that `init(tokensMax:columnsMax:in:)` takes from an arena.
    package static func footprint(tokensMax: Int, columnsMax: Int) -> Int {
        let sizes = Self.sizes(tokensMax: tokensMax, columnsMax: columnsMax)
        return Buffer<Float>.footprint(count: sizes.elements)
            + Buffer<Int8>.footprint(count: sizes.elements)
            + Buffer<Float>.footprint(count: sizes.blocks)
            + Buffer<Int32>.footprint(count: 2 * sizes.blocks)
    }

    /// Whether `tokens` rows of `columns` fit.
    func holds(tokens: Int, columns: Int) -> Bool {
        tokens >= 0 && columns >= 0 && tokens * columns <= floats.count
    }

    private static func sizes(tokensMax: Int, columnsMax: Int) -> (elements: Int, blocks: Int) {
        precondition(tokensMax >= 0 && columnsMax >= 0)
        let elements = tokensMax * columnsMax
        return (elements, (elements + blockElements - 1) / blockElements)
    }

    /// The parts as C takes them. The memory is the arena's, which this input keeps alive: use them
    /// only while the input is borrowed.
    var pointers: ProductInputPointers {
        unsafe ProductInputPointers(
            floats: floats.span.withUnsafeBufferPointer { $0.baseAddress! },
            quants: quants.span.withUnsafeBufferPointer { $0.baseAddress! },
            scales: scales.span.withUnsafeBufferPointer { $0.baseAddress! },
            sums: sums.span.withUnsafeBufferPointer { $0.baseAddress! })
    }
}

/// Where a ``ProductInput``'s parts lie.
@unsafe
struct ProductInputPointers {
    /// Elements of `sums` for each 8-bit block.
    static let sumsPerBlock = 2

    let floats: UnsafePointer<Float>
    let quants: UnsafePointer<Int8>
    let scales: UnsafePointer<Float>
    let sums: UnsafePointer<Int32>
}
