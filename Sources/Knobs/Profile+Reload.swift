// What of a profile that is read again takes effect at once, and what waits for a restart.

extension Profile {
    /// Keys and tables that differ from those the daemon was started with, and that only its next
    /// start takes over.
    package func changesThatWait(since start: Profile) -> [String] {
        func differs(_ part: (Profile) -> some Equatable) -> Bool { part(self) != part(start) }
        let parts: [(name: String, differs: Bool)] = [
            ("memory.budget", differs(\.memory)), ("flash", differs(\.flash)),
            ("weights", differs(\.weights)), ("kv", differs(\.keyValues)),
            ("compute", differs(\.compute)),
            ("generation.context_tokens", differs(\.generation.contextTokens)),
            ("generation.prefill_chunk_tokens", differs(\.generation.prefillChunkTokens)),
            ("generation.speculate", differs(\.generation.speculation)),
            ("service.socket", differs(\.service.socketPath)),
            ("service.socket_mode", differs(\.service.socketMode)),
            ("service.queue_max", differs(\.service.queueMax)),
            ("service.models_directory", differs(\.service.modelsDirectory)),
            ("service.default_model", differs(\.service.defaultModel))
        ]
        return parts.filter(\.differs).map(\.name)
    }
}
