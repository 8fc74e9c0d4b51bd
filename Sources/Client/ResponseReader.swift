// The daemon's answers as events: the client's half of HTTPInterface's answer writing. Knows bytes
// and no socket. Bounds what a daemon may send before a line or an object ends.

package import GenerationAPI
package import JSON
package import NIOCore

/// Turns an answer's bytes into the events that the service behind it had reported.
package struct ResponseReader {
    /// Longest line of a stream, longest whole answer.
    package static let bytesMax = 16 << 20

    private let status: Int
    private var pending = ByteBuffer()
    private var hasStarted = false
    /// The call that began last, and has not ended.
    private var openCall: Int?
    private var finishReason: FinishReason?
    private var statistics = GenerationStatistics()
    /// Whether the last event was given out.
    package private(set) var isOver = false

    /// `status` is the HTTP status of the answer.
    package init(status: Int) { self.status = status }

    private mutating func fail(_ error: GenerationError) -> [GenerationEvent] {
        isOver = true
        return [.failed(error)]
    }

    private mutating func failMalformed(_ what: String) -> [GenerationEvent] {
        fail(GenerationError(.internalError, "the daemon's answer is not understood: \(what)"))
    }

    /// The events in some more of the answer's body.
    package mutating func read(_ bytes: ByteBuffer) -> [GenerationEvent] {
        guard !isOver else { return [] }
        pending.writeImmutableBuffer(bytes)
        guard pending.readableBytes <= Self.bytesMax else { return failMalformed("too long") }
        guard status == 200 else { return [] }
        var events: [GenerationEvent] = []
        while !isOver, let line = takeLine() {
            let prefix = "data: "
            guard line.hasPrefix(prefix) else { continue }
            events += read(data: String(line.dropFirst(prefix.count)))
        }
        pending.discardReadBytes()
        return events
    }

    /// The events at the answer's end.
    package mutating func end() -> [GenerationEvent] {
        guard !isOver else { return [] }
        guard status == 200 else {
            let json = try? JSONParser.parse(pending.readableBytesUInt8Span)
            return fail(Self.error(json?["error"], status: status))
        }
        if let prompt = (try? JSONParser.parse(pending.readableBytesUInt8Span))?["prompt"]?.string {
            isOver = true
            return [
                .started(model: "", promptTokens: 0), .text(prompt, probabilities: []),
                .finished(.stop, statistics)
            ]
        }
        return fail(GenerationError(.internalError, "the daemon ended its answer early"))
    }

    /// What a chunk says of calls.
    private mutating func read(calls: [JSONValue]) -> [GenerationEvent] {
        var events: [GenerationEvent] = []
        for call in calls {
            let index = call["index"]?.integer.map { Int(clamping: $0) } ?? 0
            if let name = call["function"]?["name"]?.string {
                events += endCall()
                let id = call["id"]?.string ?? ""
                events.append(.toolCall(.began(index: index, id: id, name: name)))
                openCall = index
            }
            if let text = call["function"]?["arguments"]?.string, !text.isEmpty {
                events.append(.toolCall(.arguments(index: index, text)))
            }
        }
        return events
    }

    private mutating func endCall() -> [GenerationEvent] {
        defer { openCall = nil }
        return openCall.map { [.toolCall(.ended(index: $0))] } ?? []
    }

    /// A line without its end. JSON escapes newlines, so a line is always whole UTF-8.
    private mutating func takeLine() -> String? {
        let view = pending.readableBytesView
        guard let newline = view.firstIndex(of: 0x0A) else { return nil }
        let line = String(decoding: view[..<newline], as: UTF8.self)
        pending.moveReaderIndex(forwardBy: newline - view.startIndex + 1)
        return line
    }

    private mutating func read(data: String) -> [GenerationEvent] {
        if data == "[DONE]" {
            isOver = true
            guard let finishReason else { return failMalformed("no finish_reason") }
            return [.finished(finishReason, statistics)]
        }
        guard let json = try? JSONParser.parse(Array(data.utf8)) else {
            return failMalformed("an event that is not JSON")
        }
        if let error = json["error"] { return fail(Self.error(error, status: status)) }
        var events: [GenerationEvent] = []
        if !hasStarted {
            hasStarted = true
            events.append(.started(model: json["model"]?.string ?? "", promptTokens: 0))
        }
        if let choice = json["choices"]?.array?.first {
            let text = choice["text"]?.string ?? choice["delta"]?["content"]?.string ?? ""
            if !text.isEmpty { events.append(.text(text, probabilities: [])) }
            if let thought = choice["delta"]?["reasoning_content"]?.string, !thought.isEmpty {
                events.append(.reasoning(thought))
            }
            events += read(calls: choice["delta"]?["tool_calls"]?.array ?? [])
            if let reason = choice["finish_reason"]?.string {
                finishReason = FinishReason(rawValue: reason) ?? .stop
                events += endCall()
            }
        }
        readStatistics(json)
        return events
    }

    private mutating func readStatistics(_ json: JSONValue) {
        func count(_ value: JSONValue?) -> Int? { value?.integer.flatMap { Int(exactly: $0) } }
        func seconds(_ value: JSONValue?) -> Double? { value?.double.map { $0 / 1000 } }
        if let timings = json["timings"] {
            statistics.cachedTokens = count(timings["cache_n"]) ?? 0
            statistics.promptTokens =
                (count(timings["prompt_n"]) ?? 0) + statistics.cachedTokens
            statistics.generatedTokens = count(timings["predicted_n"]) ?? 0
            statistics.promptSeconds = seconds(timings["prompt_ms"]) ?? 0
            statistics.generateSeconds = seconds(timings["predicted_ms"]) ?? 0
            statistics.draftedTokens = count(timings["draft_n"]) ?? 0
            statistics.acceptedTokens = count(timings["draft_n_accepted"]) ?? 0
        }
        if let extras = json["sluice"] {
            statistics.flashBytes =
                extras["flash_bytes"]?.integer.flatMap { UInt64(exactly: $0) } ?? 0
            statistics.bundleHits = count(extras["bundle_hits"]) ?? 0
            statistics.bundleMisses = count(extras["bundle_misses"]) ?? 0
            statistics.keyValueBytes = count(extras["kv_bytes"]) ?? 0
            statistics.contextTokens = count(extras["context_tokens"]) ?? 0
            statistics.cachedFrom =
                extras["cached_from"]?.string.flatMap { PrefixSource(rawValue: $0) }
            statistics.queueSeconds = seconds(extras["queue_ms"]) ?? 0
            statistics.timeToFirstTokenSeconds = seconds(extras["time_to_first_token_ms"]) ?? 0
        }
    }

    /// The error that a wire error object stands for.
    package static func error(_ json: JSONValue?, status: Int) -> GenerationError {
        let message = json?["message"]?.string ?? "the daemon answered with status \(status)"
        let reason = json?["code"]?.string.flatMap { GenerationError.Reason(code: $0) }
        return GenerationError(
            reason ?? (status < 500 ? .invalidRequest : .internalError), message,
            parameter: json?["param"]?.string)
    }
}
