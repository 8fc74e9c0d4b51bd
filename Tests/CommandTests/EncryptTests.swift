// `sluice encrypt`, and the daemon with its key as systemd hands it over.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite struct EncryptTests {
    private let scratch: Scratch
    private let library: String

    init() throws {
        scratch = try Scratch()
        library = scratch.path("library")
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--library", library, "--name", "shell"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        unsafe mkdir(scratch.path("keys"), 0o700)
        unsafe mkdir(scratch.path("encrypted"), 0o700)
        _ = try scratch.write((0..<32).map { UInt8($0 + 9) }, to: "keys/sluice-model-keys")
    }

    private func encrypt(_ more: [String]) throws -> Ending {
        try Program.sluice.run(
            ["encrypt", "shell", scratch.path("encrypted/shell.sluice"), "--library", library]
                + more, in: scratch)
    }

    @Test func theDaemonHasItsKeyAsACredential() throws {
        let made = try encrypt(["--model-keys", scratch.path("keys/sluice-model-keys")])
        #expect(made.status == 0, "\(made.errors)")
        let plain = try ServedModel(memory: "48M").complete()
        #expect(plain.contains("choices"))
        #expect(try answer(credentials: "keys") == plain)
        let refused = try answer(credentials: "library")
        #expect(refused.hasPrefix("HTTP/1.1 500") || refused.contains("sluice-model-keys"))
        #expect(!refused.contains("\"text\""))
    }

    /// What a daemon of the encrypted library says to the fixed question.
    private func answer(credentials: String) throws -> String {
        let socket = scratch.path("socket-\(credentials)")
        let process = try Program(path: "/usr/bin/env").start(
            [
                "CREDENTIALS_DIRECTORY=" + scratch.path(credentials), Program.sluiced.path,
                "--memory", "48M", "--library", scratch.path("encrypted"), "--socket", socket
            ], in: scratch)
        defer { process.signal(SIGKILL) }
        for _ in 0..<1000 {
            guard let client = try? RawClient(socket) else {
                usleep(10_000)
                continue
            }
            client.close()
            return try ServedModel.complete(socket)
        }
        Issue.record("sluiced was not ready after ten seconds")
        return ""
    }

    @Test func whatCannotBeEncryptedIsSaid() throws {
        let keys = ["--model-keys", scratch.path("keys/sluice-model-keys")]
        let without = try encrypt([])
        #expect(without.status == 65 && without.errors.contains("$SLUICE_MODEL_KEYS"))
        let missing = try encrypt(["--model-keys", "/nowhere/key"])
        #expect(missing.status == 65 && missing.errors.contains("/nowhere/key"))
        #expect(try encrypt(keys).status == 0)
        let again = try encrypt(keys)
        #expect(again.status == 73 && again.errors.contains("--force"))
        #expect(try encrypt(keys + ["--force"]).status == 0)
        let file = scratch.path("encrypted/shell.sluice")
        let twice = try Program.sluice.run(
            ["encrypt", file, scratch.path("twice.sluice")] + keys, in: scratch)
        #expect(twice.status == 65 && twice.errors.contains("encrypted already"))
        let nowhere = try Program.sluice.run(
            ["encrypt", "shell", "/nowhere/x.sluice", "--library", library] + keys, in: scratch)
        #expect(nowhere.status != 0 && nowhere.errors.contains("/nowhere"))
        unsafe mkdir(scratch.path("folder.sluice"), 0o700)
        for (output, said) in [
            ("/dev/null", "ends in .sluice"), (scratch.path("folder.sluice"), "no file")
        ] {
            let ending = try Program.sluice.run(
                ["encrypt", "shell", output, "--library", library, "--force"] + keys, in: scratch)
            #expect(ending.status == 64 && ending.errors.contains(said), "\(ending.errors)")
        }
        let itself = try Program.sluice.run(
            ["encrypt", "shell", "\(library)/shell.sluice", "--library", library, "--force"] + keys,
            in: scratch)
        #expect(itself.status == 64 && itself.errors.contains("the model itself"))
        let gguf = try Program.sluice.run(
            ["encrypt", Repository.model, file, "--library", library] + keys, in: scratch)
        #expect(gguf.status == 64 && gguf.errors.contains("import it first"))
        var plain = try #require(fileBytes("\(library)/shell.sluice"))
        plain[plain.count / 2] ^= 1
        let damaged = try scratch.write(plain, to: "damaged.sluice")
        let refused = try Program.sluice.run(
            ["encrypt", damaged, scratch.path("from-damaged.sluice")] + keys, in: scratch)
        #expect(refused.status == 65 && refused.errors.contains("checksum"), "\(refused.errors)")
        let tokens = try Program.sluice.run(
            ["tokenize", file, "--text", "a"] + keys, in: scratch)
        #expect(tokens.status == 0, "\(tokens.errors)")
        let checked = try Program.sluice.run(["show", file, "--check"] + keys, in: scratch)
        #expect(checked.output.contains("encryption          AES-256-GCM\n"))
        #expect(checked.output.contains("all checksums are right"))
        let shut = try Program.sluice.run(["show", file], in: scratch)
        #expect(shut.status == 65 && shut.errors.contains("encrypted model's key"))
        let calibrated = try Program.sluice.run(
            ["calibrate", file, "--text", Repository.model] + keys, in: scratch)
        #expect(calibrated.status == 65 && calibrated.errors.contains("then encrypt that"))
    }
}
