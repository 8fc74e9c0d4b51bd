// Leases of weights hold what the file has, for as long as they live; one that ends early leaves
// the store as it was.

import FlashStorage
import Inference
import Knobs
import Measurement
import ModelFormat
import Models
import TestSupport
import Testing
import Weights

@Suite struct LeaseTests {
    private static let tokens = [3, 1, 4, 1, 5].map { TokenID($0) }

    /// Every matrix, whether it stays or streams, extent by extent.
    @Test(arguments: ["qwen3moe", "llama-q4_0", "arcee-q8_0"])
    func extentsAreTheFiles(name: String) throws {
        try withModel(name) { model in
            let (store, manifest) = (model.store, model.manifest)
            #expect(store.plan.streamsDense)
            for _ in 0..<2 {
                try store.beginPass(withOutput: true, isDecoding: false)
                for (index, matrix) in manifest.matrices.enumerated() {
                    try expect(store.demand(matrix: index), matrix.extentCount, matrix.extent)
                    guard let layer = matrix.layer, let neurons = manifest.neurons?[layer],
                        manifest.matrices[index + 1].layer != layer
                    else { continue }
                    var demand = store.demand(neuronsOfLayer: layer)
                    var rows = 0
                    while let extent = try demand.next() {
                        #expect(extent.rows.lowerBound == rows)
                        rows = extent.rows.upperBound
                    }
                    #expect(rows == neurons.count)
                }
            }
        }
    }

    private func expect(
        _ demand: consuming DenseDemand, _ count: Int, _ extent: (Int) -> PackedMatrixExtent
    ) throws {
        var found = 0
        while let lease = try demand.next() {
            let expected = extent(found)
            let checksum = Checksum.of(lease.bytes)
            #expect(lease.rows == expected.rows && checksum == expected.extent.checksum)
            found += 1
        }
        #expect(found == count)
    }

    /// Experts come once each, with the file's bytes, although there are more than slots.
    @Test func expertsComeOnceEach() throws {
        try withModel("qwen3moe") { model in
            let (store, experts) = (model.store, model.manifest.experts[1])
            let all = Array(0..<experts.count)
            #expect(store.plan.expertSlotCount < experts.count)
            try store.beginPass(withOutput: false, isDecoding: true)
            var seen: [Int] = []
            var demand = try store.demand(experts: all, layer: 1)
            while let lease = try demand.next() {
                for index in 0..<lease.count {
                    let number = lease.number(index)
                    seen.append(number)
                    let checksum = Checksum.of(lease.bytes(index))
                    #expect(checksum == experts.extent(number).checksum)
                }
            }
            #expect(seen.sorted() == all)
        }
    }

    /// Demands that end before all of them was had: the next evaluation is as any other.
    @Test(arguments: ["qwen3moe", "llama-q4_0", "arcee-q8_0"])
    func demandsThatEndEarlyLeaveNothing(name: String) throws {
        try withModel(name) { model in
            let expected = try evaluate(model)
            let store = model.store
            for round in 0..<3 {
                try store.beginPass(withOutput: true, isDecoding: true)
                var matrix = store.demand(matrix: 0)
                if round > 0 {
                    let lease = try matrix.next()
                    _ = consume lease
                }
                if let experts = model.manifest.experts.first {
                    var demand = try store.demand(
                        experts: Array(0..<experts.count), layer: 0)
                    if round > 1, let lease = try demand.next() { #expect(lease.count > 0) }
                }
                if store.isFetchingNeurons {
                    let needed: [Int32] = [0, 1, 7, 90]
                    var demand = store.demand(neurons: needed.span, layer: 0)
                    if round > 1, let lease = try demand.next() { #expect(!lease.range.isEmpty) }
                }
                #expect(try evaluate(model) == expected, "round \(round)")
            }
        }
    }

    /// A model under the least budget.
    private func withModel(_ name: String, _ body: (ModelInstance) throws -> Void) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            var options = ModelOptions()
            options.threads = 1
            options.contextTokens = 64
            options.logitsRowsMax = 8
            if name == "arcee-q8_0" { options.sparse = .exact }
            options.memoryBytesMax = try Fixtures.leastBytes(path) { $0 = options }
            try body(try ModelInstance(path: path, options: options))
        }
    }

    private func evaluate(_ model: ModelInstance) throws -> Evaluation {
        try Evaluator(model: model).evaluate(Self.tokens, generate: 3)
    }
}
