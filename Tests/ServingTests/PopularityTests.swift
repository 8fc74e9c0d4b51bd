// What was popular survives a restart, is never a reason to fail, and leaves cold runs cold.

import FlashStorage
import Glibc
import LinuxSystem
import Measurement
import ModelFormat
import Models
import Synchronization
import TestSupport
import Testing
import Weights

@Suite struct PopularityTests {
    private static let tokens = (0..<24).map { TokenID($0 * 5 % 40) }

    @Test func theNextStartIsWarm() throws {
        try withModel { path, notices in
            let cold = try misses(path, notices)
            let warm = try misses(path, notices)
            #expect(warm < cold)
            #expect(try misses(path, notices, keepsPopularity: false) == cold)
            #expect(notices.all.isEmpty)
        }
    }

    /// Where some layers have experts, those alone are counted.
    @Test func expertsOfSomeLayersStayKnown() throws {
        try withModel("ernie4_5-moe-step") { path, notices in
            let cold = try misses(path, notices)
            let saved = try #require(fileBytes(ExpertPopularity.path(of: path)))
            let warm = try misses(path, notices)
            #expect(warm <= cold, "\(cold) before")
            // The budget is small; of what was saved nothing is said.
            #expect(notices.all.allSatisfy { $0.hasPrefix("the cache holds ") }, "\(notices.all)")
            let model = try open(path, notices)
            #expect(model.manifest.experts.map(\.layer) == [1, 3])
            #expect(model.routingShape?.layerCount == 2)
            try model.store.experts.warm()
            #expect(saved.count < model.manifest.shape.layerCount * 6 * 4 + 40)
        }
    }

    @Test func droppedIsCold() throws {
        try withModel { path, notices in
            let cold = try misses(path, notices)
            let model = try open(path, notices)
            try model.store.experts.removeAll()
            let before = model.store.statistics
            _ = try Evaluator(model: model).evaluate(Self.tokens, generate: 0)
            #expect((model.store.statistics - before).bundleMisses == cold)
        }
    }

    @Test func damagedAndStaleFilesAreSaidAndIgnored() throws {
        try withModel { path, notices in
            let cold = try misses(path, notices)
            let saved = ExpertPopularity.path(of: path)
            let good = try #require(fileBytes(saved))
            let stale = Sidecar(path: saved, digest: "another model's")
                .encode(ExpertPopularity(values: [1, 2]))
            for bad in [[], Array(good.dropLast()), good.map { $0 ^ 1 }, stale] {
                let file = try FileDescriptor(path: saved, mode: .create)
                try unsafe file.write(bad.span.bytes, at: 0)
                let said = notices.all.count
                #expect(try misses(path, notices, saves: false) == cold)
                #expect(notices.all.count == said + 1)
                #expect(notices.all.last?.hasPrefix("saved popularity is not used: ") == true)
            }
        }
    }

    @Test func placesThatCannotBeWrittenAreSaidOnce() throws {
        try withModel { path, notices in
            // A folder in its place: root can write everywhere else.
            let blocked = ExpertPopularity.path(of: path)
            let model = try open(path, notices)
            try FileSystem.createDirectory(blocked)
            defer { unsafe rmdir(blocked) }
            for _ in 0..<3 {
                _ = try Evaluator(model: model).evaluate(Self.tokens, generate: 0)
                model.savePopularity(isLast: true)
            }
            #expect(notices.all.count == 1)
            #expect(notices.all.first?.hasPrefix("popularity is not saved: ") == true)
        }
    }

    @Test func aCacheBelowOneTokenSaysSo() throws {
        try withModel { path, notices in
            let least = try Fixtures.leastBytes(path)
            var options = ModelOptions()
            options.memoryBytesMax = least
            options.onNotice = { notices.add($0) }
            let model = try ModelInstance(path: path, options: options)
            let shortage = try #require(model.workingSetShortage)
            #expect(notices.all == ["\(shortage)"])
            #expect(shortage.slotCount < shortage.neededSlotCount)
            options.memoryBytesMax = shortage.neededLimitBytes
            let enough = try ModelInstance.division(path: path, options: options)
            #expect(enough.workingSetShortage == nil)
            #expect(enough.plan.expertSlotCount >= shortage.neededSlotCount)
        }
    }

    /// Misses of a short run; its end saves.
    private func misses(
        _ path: String, _ notices: Notices, keepsPopularity: Bool = true, saves: Bool = true
    ) throws -> Int {
        let model = try open(path, notices, keepsPopularity: keepsPopularity)
        let before = model.store.statistics
        _ = try Evaluator(model: model).evaluate(Self.tokens, generate: 0)
        if saves { model.savePopularity(isLast: true) }
        return (model.store.statistics - before).bundleMisses
    }

    private func open(
        _ path: String, _ notices: Notices, keepsPopularity: Bool = true
    ) throws -> ModelInstance {
        var options = ModelOptions()
        options.keepsPopularity = keepsPopularity
        options.onNotice = { notices.add($0) }
        let least = try Fixtures.leastBytes(path)
        options.memoryBytesMax = least + (1 << 20)
        return try ModelInstance(path: path, options: options)
    }

    private func withModel(
        _ name: String = "qwen3moe", _ body: (String, Notices) throws -> Void
    ) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            defer { try? FileSystem.remove(ExpertPopularity.path(of: path)) }
            try body(path, Notices())
        }
    }
}

/// What a model said.
final class Notices: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}
