// What does not change about a model's weights while it is loaded: the file's directory, the plan,
// and how the numbers of one space lead to those of another.

internal import LinuxSystem
internal import Memory
internal import ModelFormat

/// Where a model's weights are, in the file and in memory.
final class WeightDirectory {
    let path: String
    let manifest: PackedManifest
    let plan: WeightPlan
    let firstUnits: FirstUnits
    /// Orders, checksums and scales of layers whose neurons are bundles.
    let neurons: NeuronDirectory
    /// Of each table of rows, one for each page.
    private let rowChecksums: [[UInt32]]
    /// 0 where there are none.
    let expertsPerLayer: Int
    /// Of each layer, its place among those with experts, by which experts are numbered; nil where
    /// it has none.
    private let expertLayers: [Int?]
    /// Norms, biases and the like, in the manifest's order; always resident.
    private let vectors: [[Float]]
    /// A layer's first bundle among what the verifier knows: after units and experts.
    private let firstBundles: [Int]
    /// Extents that the verifier knows.
    let verifiedCount: Int

    /// Reads what is always resident.
    ///
    /// - Throws: `FormatError` for what the file should not say, `SystemError` when it cannot be
    ///   read.
    init(
        path: String, _ model: PackedModel, _ plan: WeightPlan, from source: any ByteSource,
        memory: consuming MemoryReservation
    ) throws {
        self.path = path
        self.plan = plan
        manifest = model.manifest
        rowChecksums = try RowTable.allCases.map { table throws(FormatError) in
            try model.checksums(of: table, from: source)
        }
        neurons = try NeuronDirectory(model, from: source, memory: memory)
        vectors = try Self.readVectors(model, from: source)
        firstUnits = FirstUnits(plan, manifest)
        expertsPerLayer = manifest.shape.experts?.count ?? 0
        var expertLayers = [Int?](repeating: nil, count: manifest.shape.layerCount)
        for (place, record) in manifest.experts.enumerated() { expertLayers[record.layer] = place }
        self.expertLayers = expertLayers
        var end = plan.units.count + expertsPerLayer * manifest.experts.count
        var firstBundles: [Int] = []
        for layer in plan.sparse == nil ? [] : manifest.neurons ?? [] {
            firstBundles.append(end)
            end += layer.bundleCount
        }
        self.firstBundles = firstBundles
        verifiedCount = end
    }

    /// A resident vector's elements, or nil where the model has none.
    func vector(_ role: VectorRole, layer: Int?) -> [Float]? {
        manifest.vectors.entries.firstIndex { $0.role == role && $0.layer == layer }
            .map { vectors[$0] }
    }

    /// The checksum of a page of a table's rows.
    func checksum(of table: RowTable, page: Int) -> UInt32 {
        rowChecksums[table.rawValue][page]
    }

    // MARK: what the verifier calls them

    func verified(_ unit: UnitIndex) -> Int { unit.index }

    func verified(_ expert: ExpertID) -> Int { plan.units.count + expert.rawValue }

    /// - Precondition: neurons are fetched one by one.
    func verified(_ bundle: BundleIndex, layer: Int) -> Int { firstBundles[layer] + bundle.index }

    // MARK: experts

    /// A layer's place among those with experts.
    ///
    /// - Precondition: it has experts.
    func expertLayer(_ layer: Int) -> Int {
        guard let place = expertLayers[layer] else {
            preconditionFailure("experts of a layer that has none")
        }
        return place
    }

    func expert(_ number: Int, layer: Int) -> ExpertID {
        ExpertID(rawValue: expertLayer(layer) * expertsPerLayer + number)
    }

    /// An expert's number in its layer.
    func number(of expert: ExpertID) -> Int { expert.rawValue % expertsPerLayer }

    func extents(of expert: ExpertID) -> PackedExpertLayer {
        manifest.experts[expert.rawValue / expertsPerLayer]
    }

    // MARK: neurons

    /// - Precondition: the layer's neurons are bundles.
    func neuronLayer(_ layer: Int) -> PackedNeuronLayer {
        guard let record = manifest.neurons?[layer] else {
            preconditionFailure("neurons of a model that has no bundles of them")
        }
        return record
    }

    private static func readVectors(
        _ model: PackedModel, from source: any ByteSource
    ) throws(FormatError) -> [[Float]] {
        let extent = model.manifest.vectors.extent
        var all = [Float](repeating: 0, count: extent.byteCount / MemoryLayout<Float>.stride)
        var span = all.mutableSpan
        var bytes = unsafe span.mutableBytes
        try model.read(extent, from: source, into: &bytes, "the vectors")
        return model.manifest.vectors.entries.map { entry in
            let first = entry.byteOffset / MemoryLayout<Float>.stride
            return Array(all[first..<first + entry.count])
        }
    }
}

/// The first unit of each matrix, and of each layer's neurons.
struct FirstUnits: Sendable {
    private(set) var ofMatrices: [UnitIndex]
    private(set) var ofNeurons: [UnitIndex]

    init(_ plan: WeightPlan, _ manifest: PackedManifest) {
        ofMatrices = Array(repeating: 0, count: manifest.matrices.count)
        ofNeurons = Array(repeating: 0, count: manifest.neurons?.count ?? 0)
        for unit in plan.unitIndices.reversed() {
            switch plan[unit].content {
            case .matrix(let index): ofMatrices[index] = unit
            case .neurons(let layer): ofNeurons[layer] = unit
            }
        }
    }
}
