// What an answer took, as several dialects tell it: llama-server's `timings`, and our `sluice`.

internal import GenerationAPI
internal import NIOCore

enum AnswerAccounts {
    /// The member `sluice` with how fast an answer should come, after a comma; nothing where
    /// nothing is known.
    static func write(_ expected: ExpectedSpeed?, into buffer: inout ByteBuffer) {
        guard let expected else { return }
        buffer.writeStaticString(",\"sluice\":{")
        writeExpected(expected, into: &buffer)
        buffer.writeStaticString("}")
    }

    private static func writeExpected(_ expected: ExpectedSpeed, into buffer: inout ByteBuffer) {
        func write(_ value: Double?) {
            if let value {
                buffer.writeJSON(milli: value)
            } else {
                buffer.writeStaticString("null")
            }
        }
        buffer.writeStaticString("\"expected\":{\"time_to_first_token_ms\":")
        write(expected.firstTokenSeconds.map { $0 * 1000 })
        buffer.writeStaticString(",\"tokens_per_second\":")
        write(expected.tokensPerSecond)
        buffer.writeStaticString("}")
    }

    /// The members `timings`, and `sluice` where it is asked for or has something to say of what
    /// was expected, each after a comma.
    static func write(
        _ statistics: GenerationStatistics, includesStatistics: Bool,
        expected: ExpectedSpeed? = nil, into buffer: inout ByteBuffer
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
        guard includesStatistics else { return write(expected, into: &buffer) }
        buffer.writeStaticString(",\"sluice\":{")
        if let expected {
            writeExpected(expected, into: &buffer)
            buffer.writeStaticString(",")
        }
        buffer.writeString("\"flash_bytes\":\(statistics.flashBytes),")
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
