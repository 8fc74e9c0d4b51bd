// A text's vector on its way: what its tokens are after the last norm, made one. Tokens are added
// one by one in their order, so that the sum does not depend on how a prompt is divided into steps.

internal import GenerationAPI
internal import Inference
package import ModelFormat

/// What an embedding is made of so far.
package struct EmbeddingSum: Sendable {
    private let pooling: Pooling
    private let dimensions: Int
    private var sum: [Float]
    private var count = 0

    /// - Parameters:
    ///   - width: of the model.
    ///   - dimensions: of these, the first ones that are wanted; nil is all.
    package init(_ pooling: Pooling, width: Int, dimensions: Int? = nil) {
        self.pooling = pooling
        self.dimensions = dimensions ?? width
        sum = [Float](repeating: 0, count: width)
    }

    /// Nothing of the text is computed.
    mutating func reset() {
        count = 0
        for index in sum.indices { sum[index] = 0 }
    }

    /// The tokens of a chunk that count.
    ///
    /// - Parameter isLast: whether none follows.
    func rows(of chunk: SequenceChunk, isLast: Bool) -> Range<Int> {
        let end = chunk.tokens.count
        return switch pooling {
        case .mean: 0..<end
        case .cls: 0..<(chunk.firstPosition == 0 ? min(1, end) : 0)
        case .last: (isLast ? end - 1 : end)..<end
        }
    }

    /// Adds a token.
    mutating func add(_ hidden: Span<Float>) {
        precondition(hidden.count == sum.count, "a vector of another model")
        count += 1
        for index in sum.indices { sum[index] += hidden[index] }
    }

    /// The vector, of length 1.
    ///
    /// - Throws: `GenerationError` where the model computed what is no number.
    var vector: [Float] {
        get throws(GenerationError) {
            var squares = 0.0
            for value in sum.prefix(dimensions) { squares += Double(value) * Double(value) }
            guard squares.isFinite else {
                throw GenerationError(.internalError, "the model's vector has no length")
            }
            let factor = squares > 0 ? 1 / squares.squareRoot() : 0
            return sum.prefix(dimensions).map { Float(Double($0) * factor) }
        }
    }
}
