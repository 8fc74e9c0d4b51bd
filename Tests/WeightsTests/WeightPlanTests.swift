// How the bytes for weights are divided: a model small enough to do by hand, and invented models
// under every budget, whose plans are checked region by region.

import ModelFormat
import TestSupport
import Testing
import Weights

@Suite struct WeightPlanTests {
    /// Two layers of two extents of a block each, and an output matrix of one.
    private static var small: PackedManifest {
        InventedModel(layers: [[32], [32]], columns: 64).manifest
    }

    @Test func leastAndMostOfASmallModel() {
        #expect(WeightPlan.bytesMin(Self.small, tokensPerStep: 1) == 4 * 4096)
        #expect(WeightPlan.bytesResident(Self.small, tokensPerStep: 1) == 7 * 4096)
        #expect(WeightPlan.bytesResident(Self.small, tokensPerStep: 3) == 11 * 4096)
        let plan = WeightPlan(Self.small, bytesMax: 7 * 4096, tokensPerStep: 1)
        #expect(!plan.streamsDense && plan.lending == nil && plan.arenaBytes == 7 * 4096)
        #expect(plan.units.map(\.pinnedOffset) == [0, 4096, 8192, 12288, 16384])
        #expect(plan.units.map(\.layer) == [0, 0, 1, 1, nil])
    }

    @Test func anExtentStaysAndTheRestPassesThroughTheRing() throws {
        let plan = WeightPlan(Self.small, bytesMax: 5 * 4096, tokensPerStep: 1)
        #expect(plan.units.map(\.pinnedOffset) == [0, nil, nil, nil, nil])
        #expect(plan.ringSlotCount == 2 && plan.ringOffset == 4096 && plan.arenaBytes == 5 * 4096)
        let lending = try #require(plan.lending)
        #expect(lending.lent == [0] && lending.order == [0, 1, 2, 3])
        #expect(lending.offset == 0 && lending.byteCount == 3 * 4096)
    }

    @Test func randomModelsUnderEveryBudget() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<120 {
            let model = InventedModel.random(&random)
            let tokens = Int.random(in: 1...4, using: &random)
            let sparse = model.sparseOptions(&random)
            let least = WeightPlan.bytesMin(model.manifest, tokensPerStep: tokens, sparse: sparse)
            let most = WeightPlan.bytesResident(model.manifest, tokensPerStep: tokens)
            // Half of them whole blocks, so that some plans fill them to the last byte.
            let between = (0..<16).map { index in
                let bytes = Int.random(in: least...max(least, most), using: &random)
                return index % 2 == 0 ? bytes : max(least, bytes / 4096 * 4096)
            }
            for bytesMax in [least, least + 1, max(most, least)] + between {
                let plan = WeightPlan(
                    model.manifest, bytesMax: bytesMax, tokensPerStep: tokens, sparse: sparse)
                let checks = PlanChecks(
                    plan: plan, manifest: model.manifest, bytesMax: bytesMax, tokens: tokens)
                guard let problem = checks.problem else { continue }
                Issue.record("seed \(seed), round \(round), \(bytesMax) bytes: \(problem)")
                return
            }
        }
    }
}

/// What must hold of any plan, each said as plainly as it can be.
private struct PlanChecks {
    let plan: WeightPlan
    let manifest: PackedManifest
    let bytesMax: Int
    let tokens: Int

    private typealias Region = (name: String, start: Int, byteCount: Int)

    var problem: String? {
        let checks = [
            ("units", hasEveryUnit), ("pins", pinsAreDense), ("ring", ringHoldsEveryUnit),
            ("regions", regionsAreApart), ("all of it", allStaysWhereItFits),
            ("room left", nothingMoreWouldFit), ("experts", expertsGetTheRest),
            ("lending", lendingHoldsALayer), ("windows", windowsAreOfTheirLayers)
        ]
        return checks.first { !$0.1 }.map { "\($0.0) of \(plan)" }
    }

    private var streamed: [DenseUnit] { plan.units.filter { $0.pinnedOffset == nil } }
    private var expertsFloor: Int {
        (manifest.shape.experts?.usedCount ?? 0) * plan.expertSlotBytes
    }

    /// In execution order; a layer's neurons come after its matrices.
    private var hasEveryUnit: Bool {
        var expected: [PackedMatrixExtent] = []
        for layer in 0..<manifest.shape.layerCount {
            for matrix in manifest.matrices where matrix.layer == layer {
                expected += (0..<matrix.extentCount).map(matrix.extent)
            }
            if let neurons = manifest.neurons?[layer] {
                expected += (0..<neurons.extentCount).map(neurons.extent)
            }
        }
        for matrix in manifest.matrices where matrix.layer == nil {
            expected += (0..<matrix.extentCount).map(matrix.extent)
        }
        return plan.units.map(\.extent) == expected
    }

    private var pinsAreDense: Bool {
        var next = 0
        for unit in plan.units {
            guard let offset = unit.pinnedOffset else { continue }
            guard offset == next else { return false }
            next += unit.footprint
        }
        return next == plan.pinnedBytes
    }

    private var ringHoldsEveryUnit: Bool {
        guard !streamed.isEmpty else { return true }
        return (2...8).contains(plan.ringSlotCount)
            && streamed.allSatisfy { $0.footprint <= plan.ringSlotBytes }
    }

    private var regionsAreApart: Bool {
        var regions: [Region] = [
            ("pinned", 0, plan.pinnedBytes), ("ring", plan.ringOffset, plan.ringBytes),
            ("staging", plan.stagingOffset, plan.stagingBytes),
            ("experts", plan.expertOffset, plan.expertBytes),
            ("embeddings", plan.embeddingOffset, plan.embeddingBytes)
        ]
        if let sparse = plan.sparse {
            regions.append(("slots", plan.sparseSlotsOffset, sparse.slotsBytes))
            let rows: Region = ("rows", plan.windowOffset, sparse.windowBytes)
            // Shared rows may lie on the ring and on what is staged, on nothing else.
            let others = regions.filter {
                !sparse.sharesRing || !["ring", "staging"].contains($0.name)
            }
            guard others.allSatisfy({ Self.areApart($0, rows) }) else { return false }
            guard rows.start + rows.byteCount <= plan.arenaBytes else { return false }
        }
        for (index, region) in regions.enumerated() {
            guard region.start >= 0, region.start + region.byteCount <= plan.arenaBytes,
                regions[..<index].allSatisfy({ Self.areApart($0, region) })
            else { return false }
        }
        return plan.arenaBytes <= bytesMax
            && plan.embeddingBytes == tokens * plan.embeddingWindowBytes
    }

    private static func areApart(_ one: Region, _ other: Region) -> Bool {
        one.start + one.byteCount <= other.start || other.start + other.byteCount <= one.start
    }

    private var allStaysWhereItFits: Bool {
        let fits = plan.denseBytes + plan.embeddingBytes + expertsFloor <= bytesMax
        return streamed.isEmpty == fits || plan.sparse != nil
    }

    /// No extent is streamed that would have had room.
    private var nothingMoreWouldFit: Bool {
        guard plan.sparse == nil, let smallest = streamed.map(\.footprint).min() else {
            return true
        }
        let used =
            plan.pinnedBytes + plan.ringBytes + plan.stagingBytes + plan.embeddingBytes
            + expertsFloor
        return bytesMax - used < smallest
    }

    private var expertsGetTheRest: Bool {
        let total = manifest.experts.reduce(0) { $0 + $1.count }
        guard total > 0 else { return plan.expertBytes == 0 }
        let isFull = plan.arenaBytes + plan.expertSlotBytes > bytesMax
        return plan.expertBytes >= expertsFloor && plan.expertSlotCount <= total
            && (isFull || plan.expertSlotCount == total)
    }

    private var lendingHoldsALayer: Bool {
        func layerBytes(_ units: [DenseUnit]) -> Int {
            let layers = Dictionary(grouping: units.filter { $0.layer != nil }) { $0.layer }
            return layers.values.map { $0.reduce(0) { $0 + $1.footprint } }.max() ?? 0
        }
        let largest = plan.units.filter { $0.layer != nil }.map(\.footprint).max() ?? 0
        guard let lending = plan.lending else {
            return streamed.isEmpty
                || plan.pinnedBytes + plan.ringBytes < layerBytes(plan.units) + largest
        }
        let lent = plan.unitIndices.filter { plan[$0].pinnedOffset ?? -1 >= lending.offset }
        let order = plan.unitIndices.filter { unit in
            plan[unit].layer != nil && (plan[unit].pinnedOffset == nil || lent.contains(unit))
        }
        return lending.offset + lending.byteCount == plan.ringOffset + plan.ringBytes
            && Set(lending.lent) == Set(lent) && lending.order == order
            && lending.byteCount >= layerBytes(order.map { plan[$0] }) + largest
    }

    private var windowsAreOfTheirLayers: Bool {
        guard let sparse = plan.sparse, let layers = manifest.neurons else { return true }
        return sparse.windowRows.count == layers.count
            && zip(sparse.windowRows, layers).allSatisfy { $0 >= 0 && $0 <= $1.count }
            && layers.allSatisfy { sparse.slotBytes % $0.bundleBytes == 0 }
            && plan.sharedRowCount <= sparse.rowCount
    }
}
