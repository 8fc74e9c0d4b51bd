// What an answer took, as several dialects tell it: llama-server's `timings`, and our `sluice`.

internal import GenerationAPI
internal import NIOCore

enum AnswerAccounts {
    /// The members `timings`, and `sluice` where it is asked for, each after a comma.
    static func write(
        _ statistics: GenerationStatistics, includesStatistics: Bool,
        into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString(",\"timings\":{")
        writeTiming(
            "prompt", statistics.promptTokens - statistics.cachedTokens,
            statistics.promptSeconds, into: &buffer)
        buffer.writeStaticString(",")
        writeTiming(
            "predicted", statistics.generatedTokens, statistics.generateSeconds, into: &buffer)
        if statistics.draftedTokens > 0 {
            buffer.writeString(",\"draft_n\":\(statistics.draftedTokens),")
            buffer.writeString("\"draft_n_accepted\":\(statistics.acceptedTokens)")
        }
        buffer.writeString(",\"cache_n\":\(statistics.cachedTokens)}")
        guard includesStatistics else { return }
        buffer.writeString(",\"sluice\":{\"flash_bytes\":\(statistics.flashBytes),")
        buffer.writeString("\"bundle_hits\":\(statistics.bundleHits),")
        buffer.writeString("\"bundle_misses\":\(statistics.bundleMisses),\"bundle_hit_rate\":")
        buffer.writeJSON(milli: statistics.bundleHitRate)
        buffer.writeString(",\"context_tokens\":\(statistics.contextTokens)")
        buffer.writeString(",\"kv_bytes\":\(statistics.keyValueBytes),\"queue_ms\":")
        buffer.writeJSON(milli: statistics.queueSeconds * 1000)
        buffer.writeStaticString(",\"time_to_first_token_ms\":")
        buffer.writeJSON(milli: statistics.timeToFirstTokenSeconds * 1000)
        buffer.writeString(",\"suspensions\":\(statistics.suspensionCount)")
        buffer.writeString(",\"cached_tokens\":\(statistics.cachedTokens)")
        if let source = statistics.cachedFrom {
            buffer.writeString(",\"cached_from\":\"\(source.rawValue)\"")
        }
        buffer.writeStaticString("}")
    }

    private static func writeTiming(
        _ name: StaticString, _ tokens: Int, _ seconds: Double, into buffer: inout ByteBuffer
    ) {
        buffer.writeString("\"\(name)_n\":\(tokens),\"\(name)_ms\":")
        buffer.writeJSON(milli: seconds * 1000)
        buffer.writeString(",\"\(name)_per_second\":")
        buffer.writeJSON(milli: seconds > 0 ? Double(tokens) / seconds : 0)
    }
}
