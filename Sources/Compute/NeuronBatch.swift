// The neurons of a feed-forward layer that fire, and where their weights are: what the sums over
// neurons run over.

internal import CKernels
package import LinuxSystem

/// Which neurons fire for which tokens of a step, and the records of those that are being summed.
///
/// Tokens are taken in groups of up to ``groupTokensMax``. A record is a neuron's row of up, where
/// the network has a gate, and its column of down; records lie in arenas and must stay where they
/// are until they have been computed with.
@safe
package struct NeuronBatch: ~Copyable {
    /// Tokens that share a column while it is in registers; one bit each.
    package static let groupTokensMax = 64

    package let neuronsMax: Int
    package let tokensMax: Int
    /// `[groups][neurons]`: the tokens of the group that the neuron fires for.
    var masks: Buffer<UInt64>
    /// Numbers of the listed neurons, ascending.
    var listed: Buffer<UInt32>
    /// Addresses of their records.
    var records: Buffer<UInt>
    /// Listed neurons.
    package private(set) var count = 0
    /// The group they are listed for.
    package private(set) var group = 0
    /// Tokens and neurons of the present step, as `fire` left them.
    package internal(set) var tokens = 0
    package internal(set) var neurons = 0

    package init(neuronsMax: Int, tokensMax: Int, in arena: MemoryArena) {
        self.neuronsMax = neuronsMax
        self.tokensMax = tokensMax
        masks = Buffer(count: Self.groups(of: tokensMax) * neuronsMax, in: arena)
        listed = Buffer(count: neuronsMax, in: arena)
        records = Buffer(count: neuronsMax, in: arena)
    }

    /// Bytes that `init(neuronsMax:tokensMax:in:)` takes from an arena.
    package static func footprint(neuronsMax: Int, tokensMax: Int) -> Int {
        Buffer<UInt64>.footprint(count: groups(of: tokensMax) * neuronsMax)
            + Buffer<UInt32>.footprint(count: neuronsMax)
            + Buffer<UInt>.footprint(count: neuronsMax)
    }

    static func groups(of tokens: Int) -> Int { (tokens + groupTokensMax - 1) / groupTokensMax }

    package var groupCount: Int { Self.groups(of: tokens) }

    /// The tokens of group `index`.
    package func tokens(ofGroup index: Int) -> Range<Int> {
        let first = index * Self.groupTokensMax
        return first..<min(first + Self.groupTokensMax, tokens)
    }

    /// Lists the neurons of `range` that fire for any token of `group`. Each needs its record next.
    package mutating func list(group: Int, in range: Range<Int>) {
        precondition(group >= 0 && group < groupCount)
        precondition(range.lowerBound >= 0 && range.upperBound <= neurons)
        self.group = group
        let masks = unsafe masks.span.start + group * neurons
        var numbers = listed.mutableSpan
        let found = unsafe ckernels_list_fired(
            masks, range.lowerBound, range.upperBound, numbers.start)
        count = found
    }

    /// Begins a step of one token and so many neurons, of which those that are listed are computed.
    package mutating func begin(neurons: Int) {
        precondition(neurons <= neuronsMax)
        tokens = 1
        self.neurons = neurons
        count = 0
    }

    /// Lists `numbers`, in their order. Each needs its record next.
    package mutating func list(_ numbers: ArraySlice<Int32>) {
        precondition(numbers.count <= neurons)
        group = 0
        for (index, number) in numbers.enumerated() {
            precondition(number >= 0 && number < neurons)
            listed[index] = UInt32(number)
        }
        count = numbers.count
    }

    /// The number of listed neuron `index`.
    package func neuron(_ index: Int) -> Int { Int(listed[index]) }

    /// Whether a neuron fires for any token of the step.
    package func fires(_ neuron: Int) -> Bool {
        (0..<groupCount).contains { masks[$0 * neurons + neuron] != 0 }
    }

    /// Whether a neuron fires for one token of the step.
    package func fires(_ neuron: Int, token: Int) -> Bool {
        let (group, bit) = token.quotientAndRemainder(dividingBy: Self.groupTokensMax)
        return masks[group * neurons + neuron] >> UInt64(bit) & 1 != 0
    }

    /// Takes the listed neurons' activations, in the order of the list.
    mutating func setFired(_ activations: Span<Float>, _ values: inout Buffer<Float>) {
        for index in 0..<count {
            let neuron = Int(listed[index])
            values[neuron] = activations[index]
            masks[neuron] = activations[index] == 0 ? 0 : 1
        }
    }

    /// Says where the record of listed neuron `index` is.
    package mutating func setRecord(_ index: Int, _ bytes: RawSpan) {
        precondition(index >= 0 && index < count && bytes.byteCount > 0)
        unsafe records[index] = UInt(bitPattern: bytes.start)
    }
}
