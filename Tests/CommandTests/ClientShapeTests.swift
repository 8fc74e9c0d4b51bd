// Other people's programs over the built daemon's socket: frameworks, and the requests of programs
// that cannot be installed here (Tests/Clients).

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct ClientShapeTests {
    private static let template = """
        {#- <tool_call>{"name", "arguments"} #}{% if tools %}{{ tools | tojson }}{% endif %}
        {%- for m in messages %}{{ m.content }}{% endfor %}<|im_start|>
        """

    /// A daemon with a model that answers with noise, and knows tools.
    private func daemon() throws -> Daemon {
        let scratch = try Scratch()
        let file = try scratch.write(NoiseModel(template: Self.template).bytes(), to: "noise.gguf")
        let imported = try Program.sluice.run(
            ["import", file, "--library", scratch.path("library"), "--name", "shell"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        return try Daemon(in: scratch)
    }

    private func run(_ python: String, _ script: String, _ daemon: Daemon) throws {
        let ending = try Program(path: "/usr/bin/env").run(
            [python, "\(Repository.folder)/Tests/Clients/\(script)", daemon.socket, "shell"],
            in: daemon.scratch)
        #expect(ending.status == 0, "\(ending.output) \(ending.errors)")
        #expect(daemon.stop() == 0)
    }

    @Test func recordedRequestsAreAnswered() throws {
        try run("python3", "shapes_client.py", try daemon())
    }

    /// Where a Python that has some of them is named.
    @Test func frameworksAreServed() throws {
        guard let named = unsafe getenv("SLUICE_FRAMEWORK_PYTHON") else {
            print("skipped: SLUICE_FRAMEWORK_PYTHON names no Python with LangChain or LiteLLM")
            return
        }
        try run(unsafe String(cString: named), "frameworks_client.py", try daemon())
    }
}
