// Knobs of what the engine may take: memory, the drive, which weights are read, processors.

internal import GenerationAPI
internal import Memory

extension KnobTable {
    static let memory = [
        Knob(
            "memory.budget", \.memory.budgetBytes,
            Form.size(UInt64(MemoryLedger.bytesMin)...(1 << 50)).orAuto, unit: "bytes",
            effect: """
                Memory for everything: weights, caches, buffers, the process itself.
                "auto" is what the cgroup's limits (memory.max, memory.high) and the machine leave.
                The command line's --memory wins over it.
                """
        ).option("memory", as: Form.size.given, of: \.memory.budgetBytes)
    ]

    static let flash = [
        Knob(
            "flash.queue_depth", \.flash.queueDepth, Form.integer(1...1024).orAuto, unit: "reads",
            effect: """
                Reads in flight at once.
                "auto" is as the drive was measured. The daemon measures a drive when it first
                loads a model from it, in less than three seconds; `sluice tune` does at any time.
                """),
        Knob(
            "flash.read_bytes_max", \.flash.readBytesMax,
            Form.size(4096...(64 << 20), multipleOf: 4096).orAuto, unit: "bytes",
            effect: """
                Longest single read.
                Larger ones cost less work for each byte, smaller ones leave more for others in
                between. "auto" is as the drive was measured.
                """),
        Knob(
            "flash.gap_bytes_max", \.flash.gapBytesMax, Form.size(0...(1 << 20)).orAuto,
            unit: "bytes",
            effect: """
                Bytes that nobody needs, between two small reads, that are read too rather than \
                split the read.
                "auto" is as the drive was measured.
                """),
        Knob(
            "flash.read_bytes_min", \.flash.readBytesMin,
            Form.size(of: [512, 1024, 2048, 4096]).orAuto, unit: "bytes",
            effect: """
                Shortest read, of a single neuron.
                "auto" is the drive's own blocks. Drives that read larger blocks inside do not gain
                by less.
                """),
        Knob(
            "flash.reader", \.flash.reader, Form.choice(ReaderChoice.self),
            effect: """
                How to read.
                "pread" reads with threads, for kernels that refuse io_uring; "auto" is io_uring
                where the kernel allows it.
                """),
        Knob(
            "flash.read_seconds_max", \.flash.readSecondsMax, Form.integer(1...3600),
            unit: "seconds",
            effect: """
                How long a request waits for a drive that brings nothing, before it fails.
                The watchdog never counts such a wait against the daemon.
                """
        ).option("read-seconds-max"),
        Knob(
            "flash.prefetch_max", \.flash.prefetchesMax, Form.integer(0...64), unit: "reads",
            effect: """
                Expert reads under way beyond which none is made ahead of demand; 0 makes none.
                Whether it helps depends on the model and the drive: measure with `sluice bench
                --prefetch-max`.
                """
        ).option("prefetch-max", "prefetch"),
        Knob(
            "flash.verify", \.flash.verify, Form.choice(VerificationPolicy.self),
            effect: "Compare weights with their checksums on the first read, or always."
        ).option("verify"),
        Knob(
            "flash.model_keys", \.flash.modelKeys, Form.text("a path", placeholder: "path"),
            effect: """
                File of the keys of encrypted models: 32 bytes, or lines of 64 hexadecimal digits.
                Empty: $SLUICE_MODEL_KEYS, else systemd's credential sluice-model-keys. Read when a
                model is opened. docs/ENCRYPTION.md says what it protects.
                """
        ).option("model-keys")
    ]

    static let weights = [
        Knob(
            "weights.sparse", \.weights.sparse, Form.choice(Profile.Weights.Sparse.self),
            effect: """
                Neurons of an activation-sparse model to read: all, those that fire, or those \
                predicted.
                Models whose feed-forward neurons are bundled can be read neuron by neuron. "auto":
                whichever is expected to take least time on this drive, of what quality_loss_max
                allows; "off": all of them; "exact": those that fire, for the same output;
                "predicted" (lossy): those that a calibration's predictors name. `sluice show`
                prints what each would take, and /v1/models what was chosen and why.
                """
        ).option("sparse"),
        Knob(
            "weights.quality_loss_max", \.weights.qualityLossMax, Form.number(0...1),
            unit: "share",
            effect: """
                By what share perplexity may be higher, as calibration states it, where sparse is \
                auto; 0 is not at all.
                0.005 allows predicted neurons where `sluice calibrate` measured that they cost at
                most half a percent.
                """
        ).option("quality-loss-max"),
        Knob(
            "weights.activation_sparsity", \.weights.activationSparsity, Form.share.orOff,
            unit: "share",
            effect: """
                The share of neurons that count as silent, each layer's weakest (lossy), such as \
                0.5.
                Of a model that was calibrated: `sluice calibrate` finds out which they are.
                """
        ).option("activation-sparsity")
    ]

    static let keyValues = [
        Knob(
            "kv.bits", \.keyValues.format, Form.keyValueFormat, unit: "bits",
            effect: """
                Bits of a number in the KV cache: 32 is exact, fewer save memory and round.
                8, 4 and 2 are codes with scales. Keys and values may differ: "k8v4". A request may
                say its own, in `"sluice": {"kv_bits"}`. docs/KV-CACHE.md says what each costs.
                """
        ).option("kv-bits"),
        Knob(
            "kv.when_full", \.keyValues.whenFull, Form.choice(FullContext.self),
            effect: """
                What happens when a context is full: the answer ends, or it slides (lossy).
                "slide" forgets what is oldest but for the first 64 tokens, so that answers may be
                longer than the context, and prompts up to four times as long. A request may say its
                own, in `"sluice": {"kv_when_full"}`. docs/KV-CACHE.md says what it costs.
                """
        ).option("kv-when-full"),
        Knob(
            "kv.snap_tokens", \.keyValues.snapTokens, Form.integer(64...(1 << 22)).orOff,
            unit: "tokens",
            effect: """
                Tokens that are kept of a longer prompt: those that its end looks at most (lossy).
                Each head of each layer keeps its own (SnapKV), and the last 32 besides, in whole
                pages: longer answers fit, and are faster. A request may say its own, in
                `"sluice": {"kv_snap_tokens"}`, 0 for all. docs/KV-CACHE.md says what it costs.
                """
        ).option("kv-snap-tokens"),
        Knob(
            "kv.gem_tokens", \.keyValues.gemTokens, Form.integer(64...(1 << 22)).orOff,
            unit: "tokens",
            effect: """
                Tokens that are computed of a longer prompt, by themselves (lossy), such as 1024.
                A first pass through some layers says which the prompt's end looks at (GemFilter):
                long prompts take less time. A request may say its own, in
                `"sluice": {"kv_gem_tokens"}`, 0 for all. docs/KV-CACHE.md says what it costs.
                """
        ).option("kv-gem-tokens"),
        Knob(
            "kv.gem_depth", \.keyValues.gemDepth, Form.share, unit: "share",
            effect: """
                How far up the layers the one is that says so: 0.40625 is layer 13 of 32.
                A later one chooses better, and costs more.
                """
        ).option("kv-gem-depth"),
        Knob(
            "kv.prefixes", \.keyValues.prefixes, Form.choice(PrefixKeeping.self),
            effect: """
                Where keys and values of earlier texts are kept for texts that begin like them, \
                which so need not be computed again.
                "memory": in what no running request needs of the KV pages; "flash": in a file
                beside the model too, over restarts; "off": nowhere. The file holds texts of users
                and is readable for the service alone.
                """),
        Knob(
            "kv.prefix_sharing", \.keyValues.prefixSharing, Form.choice(PrefixSharing.self),
            effect: """
                Who finds them: each user their own, or every user those of all.
                How fast an answer begins tells whether somebody had the same text before.
                """),
        Knob(
            "kv.flash_bytes_max", \.keyValues.flashBytesMax, Form.size(0...(1 << 40)),
            unit: "bytes",
            effect: """
                Most bytes of each model's file of prefixes.
                Those that were not used for longest make room.
                """),
        Knob(
            "kv.memory_bytes_max", \.keyValues.memoryBytesMax,
            Form.size((1 << 20)...(1 << 40)).orAuto, unit: "bytes",
            effect: """
                Most memory for keys and values; of a longer text the oldest go to flash, and are \
                read again for each token, with the same result.
                "auto" keeps all of them in memory, and no text is longer than that allows.
                """
        ).option("kv-memory"),
        Knob(
            "kv.cold_tokens_max", \.keyValues.coldTokensMax,
            Form.integer(1...(1 << 22)).orAll, unit: "tokens",
            effect: """
                Of a text that is partly on flash, how many of those tokens are read again for \
                each token of an answer: all, or those that can matter most (lossy).
                Whole 512 tokens for each layer. A request may say its own, in `"sluice":
                {"kv_cold_tokens_max"}`. docs/KV-CACHE.md says what it costs and saves.
                """
        ).option("kv-cold-tokens"),
        Knob(
            "kv.cold_bytes_max", \.keyValues.coldBytesMax, Form.size(0...(1 << 44)),
            unit: "bytes",
            effect: """
                Most bytes of keys and values on flash of texts that are being worked on, for each \
                model.
                Their file has no name, and is gone when the service ends.
                """)
    ]

    static let compute = [
        Knob(
            "compute.threads", \.compute.threads, Form.integer(1...1024).orAuto, unit: "threads",
            effect: """
                Threads that compute.
                "auto" is one on each processor that the process may use.
                """
        ).option("threads")
    ]
}
