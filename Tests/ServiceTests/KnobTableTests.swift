// The table of knobs against all that follows from it: the profile's reader, the shipped profile,
// the documentation, options, and what waits for a restart.

import Glibc
import Knobs
import LinuxSystem
import Testing

@Suite struct KnobTableTests {
    private static let root = FileSystem.parent(
        of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))

    /// With SLUICE_RECORD_KNOBS set, the files are written anew.
    @Test(arguments: [
        ("profiles/generic.toml", KnobTable.genericProfile),
        ("docs/PROFILES.md", KnobTable.documentation)
    ])
    func committedFilesSayWhatTheTableSays(_ name: String, _ text: String) throws {
        let path = "\(Self.root)/\(name)"
        if unsafe getenv("SLUICE_RECORD_KNOBS") != nil {
            try FileSystem.replace(path, with: Array(text.utf8))
        }
        let committed = try #require(TextFile.read(path))
        let differing = zip(
            committed.split(separator: "\n"), text.split(separator: "\n")
        ).first { $0 != $1 }
        #expect(committed == text, "\(String(describing: differing))")
    }

    /// A field that has no row could not be set; one that has two could be set differently.
    @Test func everyFieldOfAProfileHasOneRow() {
        func leaves(_ value: Any) -> Int {
            let mirror = Mirror(reflecting: value)
            let isKnob =
                mirror.children.isEmpty || mirror.displayStyle == .optional
                || mirror.displayStyle == .enum
            return isKnob ? 1 : mirror.children.reduce(0) { $0 + leaves($1.value) }
        }
        // A seed is a request's; keys and values have one knob.
        #expect(KnobTable.all.count == leaves(Profile()) - 2)
        #expect(Set(KnobTable.all.map(\.key)).count == KnobTable.all.count)
    }

    /// A value of each knob that is not its default, as a profile writes it.
    private static let others = [
        "memory.budget": "\"1536M\"", "flash.queue_depth": "4", "flash.read_bytes_max": "\"64K\"",
        "flash.gap_bytes_max": "\"0\"", "flash.read_bytes_min": "\"4K\"",
        "flash.reader": "\"pread\"", "flash.read_seconds_max": "9", "flash.prefetch_max": "3",
        "flash.verify": "\"always\"", "flash.model_keys": "\"/keys\"",
        "weights.sparse": "\"exact\"",
        "weights.quality_loss_max": "0.25", "weights.activation_sparsity": "0.5",
        "kv.bits": "\"k8v4\"", "kv.when_full": "\"slide\"", "kv.snap_tokens": "96",
        "kv.gem_tokens": "512", "kv.gem_depth": "0.5",
        "kv.prefixes": "\"memory\"",
        "kv.prefix_sharing": "\"all\"", "kv.flash_bytes_max": "\"64M\"",
        "kv.memory_bytes_max": "\"2M\"", "kv.cold_tokens_max": "700",
        "kv.cold_bytes_max": "\"1G\"", "compute.threads": "1",
        "generation.context_tokens": "128",
        "generation.prefill_chunk_tokens": "17", "generation.step_tokens": "40",
        "generation.speculate": "5", "generation.pooling": "\"cls\"",
        "generation.temperature": "0.5", "generation.top_k": "7", "generation.top_p": "0.25",
        "generation.min_p": "0.5", "generation.repeat_penalty": "1.5",
        "generation.presence_penalty": "0.5", "generation.frequency_penalty": "-0.5",
        "generation.penalty_window": "-1", "service.socket": "\"/s\"",
        "service.socket_mode": "\"0600\"", "service.queue_max": "3", "service.sessions_max": "6",
        "service.keep_alive_seconds": "300",
        "service.models_directory": "\"/m\"", "service.default_model": "\"m\"",
        "service.drain_seconds": "1", "service.log_level": "\"debug\"",
        "access.users": "\"alice 1001\"", "access.groups": "\"staff\"",
        "access.requests_per_user_max": "4", "access.queue_per_user_max": "2",
        "access.tokens_file": "\"/t\"", "access.tokens_required": "true",
        "access.bridge_users": "\"www-data\"", "access.hosts": "\"box.lan [fe80::1]\"",
        "access.origins": "\"http://localhost:3000\""
    ]

    private func profile(_ knob: Knob, _ value: String) throws -> Profile {
        try Profile(text: "[\(knob.table)]\n\(knob.name) = \(value)", file: "p")
    }

    /// Each key reaches its own field, and what a profile holds can be written down again.
    @Test func everyKnobIsReadAndWrittenBack() throws {
        for knob in KnobTable.all {
            let value = try #require(Self.others[knob.key], "\(knob.key)")
            let changed = try profile(knob, value)
            let differing = KnobTable.all.filter {
                $0.text(in: changed) != $0.text(in: Profile())
            }
            #expect(differing.map(\.key) == [knob.key])
            #expect(try profile(knob, knob.text(in: changed)) == changed, "\(knob.key)")
            let waiting = changed.changesThatWait(since: Profile())
            #expect(waiting == (knob.takeover == .restart ? [knob.key] : []))
        }
    }

    /// The same words in a profile and behind an option make the same profile.
    @Test func optionsAndProfilesSayTheSame() throws {
        for knob in KnobTable.all where !knob.optionNames.isEmpty {
            let value = try #require(Self.others[knob.key])
            var profile = Profile()
            try knob.set(option: value.filter { $0 != "\"" }, in: &profile)
            #expect(profile == (try self.profile(knob, value)), "\(knob.key)")
        }
    }

    /// Both refuse the same, and say the same about it.
    @Test(arguments: [
        ("compute.threads", "0", "between 1 and 1024"), ("kv.bits", "3", "32, 16, 8, 4 or 2"),
        ("flash.read_seconds_max", "3601", "between 1 and 3600"),
        ("flash.prefetch_max", "-1", "between 0 and 64"),
        ("weights.quality_loss_max", "1.5", "between 0 and 1"),
        ("weights.activation_sparsity", "1", "between 0 and 1, neither of them"),
        ("generation.speculate", "32", "between 1 and 31"),
        ("generation.temperature", "101", "between 0 and 100"),
        ("generation.top_k", "-2", "-1 or more"),
        ("generation.context_tokens", "0", "and 4194304, or")
    ])
    func refusalsSayTheSame(_ key: String, _ value: String, _ words: String) throws {
        let knob = KnobTable.knob(key)
        var profile = Profile()
        #expect {
            try knob.set(option: value, in: &profile)
        } throws: {
            "\($0)".hasPrefix("--\(knob.optionNames[0]) is ") && "\($0)".contains(words)
                && "\($0)".hasSuffix(", not '\(value)'")
        }
        #expect(profile == Profile())
        #expect {
            try self.profile(knob, value)
        } throws: {
            "\($0)".hasPrefix("p:2: \(key): expected ") && "\($0)".contains(words)
        }
    }
}
