// What a user sees of models that are loaded: how many requests each works on, and `sluice stop`.

import TestSupport
import Testing

@Suite struct ModelsInMemoryTests {
    @Test func propertiesAreOfEveryLoadedModel() throws {
        let folder = "\(Repository.fixtures)/models"
        let models = ["one": "\(folder)/qwen3moe.gguf", "two": "\(folder)/arcee.gguf"]
        let served = try ServedModel(memory: "64M", models: models)
        #expect(try served.read("/props").contains("\"models\":[]"))
        for name in ["two", "one"] {
            let fields = "\"model\":\"\(name)\",\"prompt\":\"a\",\"max_tokens\":1"
            #expect(try served.answer(fields, to: "/v1/completions").contains("200 OK"))
        }
        let properties = try served.read("/props")
        let (ends, slots) = ("\"bos_token\":", "\"total_slots\":")
        let one = properties.firstRange(of: "\"models\":[{\"model_alias\":\"one\",\"n_ctx\":")
        let two = properties.firstRange(of: "},{\"model_alias\":\"two\",\"n_ctx\":")
        #expect(one != nil && two != nil, "\(properties)")
        #expect(properties.ranges(of: ends).count == 3 && properties.ranges(of: slots).count == 3)
        #expect(served.stop() == 0)
    }

    @Test func stopGivesAModelBack() throws {
        let profile = "[service]\nsessions_max = 3\n"
        let served = try ServedModel(memory: "64M", profile: profile)
        func sluice(_ arguments: [String]) throws -> Ending {
            try Program.sluice.run(arguments + ["--socket", served.socket], in: Scratch())
        }
        #expect(try sluice(["stop", "shell"]).errors.contains("shell is not loaded"))
        _ = try served.complete()
        #expect(try sluice(["ps", "--json"]).output.contains("\"sessions_max\":3"))
        let properties = try served.read("/props")
        #expect(properties.contains("\"total_slots\":3"))
        let slots = try served.read("/slots")
        #expect(slots.contains("\"id\":2") && !slots.contains("\"id\":3"))
        let counted = try served.read("/metrics")
        #expect(counted.contains("sluiced_kv_pages_promised 0"), "\(counted)")
        let stopped = try sluice(["stop", "shell:latest"])
        #expect(stopped.status == 0 && stopped.errors.isEmpty, "\(stopped.errors)")
        #expect(try !sluice(["ps", "--json"]).output.contains("shell"))
        let unknown = try sluice(["stop", "nobody"])
        #expect(unknown.status == 66 && unknown.errors.contains("nobody"), "\(unknown.errors)")
        #expect(try sluice(["stop"]).status == 64)
        #expect(try served.complete().contains("200 OK"))
        #expect(served.stop() == 0)
    }
}
