// What was counted, in Prometheus's text format (version 0.0.4): our own names, and those of
// llama-server for what it has, too, so that its dashboards work.

package import GenerationAPI
package import HTTPInterface
package import Memory

/// Writes the answer of `/metrics`.
package struct MetricsText {
    private var text = ""

    /// - Parameters:
    ///   - load: what the server is at.
    ///   - engine: what the engine is at.
    ///   - loaded: the models that are loaded.
    ///   - memory: what is held of the budget, where that is known.
    package static func write(
        _ books: Metrics.Books, load: ServerLoad, engine: EngineLoad, loaded: [ModelSummary],
        memory: MemoryPlan?
    ) -> String {
        var writer = MetricsText()
        writer.writeRequests(books, load)
        writer.writeTokens(books)
        writer.writeEngine(engine)
        writer.writeModels(loaded, memory)
        writer.writeAliases(books, load)
        return writer.text
    }

    private mutating func writeRequests(_ books: Metrics.Books, _ load: ServerLoad) {
        head("sluiced_info", "gauge", "The version that runs.")
        line("sluiced_info", labels: [("version", SluiceVersion.current)], "1")
        head("sluiced_requests_total", "counter", "Answered requests.")
        let kinds = books.requests.sorted {
            ($0.key.route, $0.key.status) < ($1.key.route, $1.key.status)
        }
        for (kind, count) in kinds {
            line(
                "sluiced_requests_total",
                labels: [("route", kind.route), ("status", "\(kind.status)")], "\(count)")
        }
        if !books.outcomes.isEmpty {
            head(
                "sluiced_outcomes_total", "counter",
                "Requests by what ended them, streams' errors after their status included.")
        }
        for (outcome, count) in books.outcomes.sorted(by: { $0.key < $1.key }) {
            line("sluiced_outcomes_total", labels: [("outcome", outcome)], "\(count)")
        }
        single(
            "sluiced_refused_total", "counter",
            "Requests and connections that were told to come back later.",
            "\(books.counts.refusals)")
        single(
            "sluiced_disconnected_total", "counter", "Requests whose client left before the end.",
            "\(books.counts.disconnects)")
        single(
            "sluiced_memory_pressure_step", "gauge",
            "0, 1 where memory is given back, 2 where requests are refused for want of it.",
            "\(books.pressureStep)")
        single(
            "sluiced_connections", "gauge", "Connections that are open.", "\(load.connections)")
        single(
            "sluiced_generations_running", "gauge", "Generations that the engine has begun with.",
            "\(load.running)")
        single(
            "sluiced_generations_waiting", "gauge", "Generations that wait for the engine.",
            "\(load.waiting)")
        histogram(
            "sluiced_time_to_first_token_seconds",
            "From a request's beginning to the first of its answer.", books.firstPieces)
        histogram(
            "sluiced_inter_token_seconds", "From one piece of an answer to the next.", books.gaps)
    }

    /// Of answers that came to their end.
    private mutating func writeTokens(_ books: Metrics.Books) {
        let took = books.took
        let counters: [(name: String, help: String, value: String)] = [
            ("prompt_tokens", "Tokens of prompts.", "\(took.promptTokens)"),
            ("cached_tokens", "Those of them that were found again.", "\(took.cachedTokens)"),
            ("generated_tokens", "Tokens of answers.", "\(took.generatedTokens)"),
            ("drafted_tokens", "Tokens that were guessed.", "\(took.draftedTokens)"),
            ("accepted_tokens", "Guesses that were right.", "\(took.acceptedTokens)"),
            ("queue_seconds", "Time spent waiting.", Self.number(took.queueSeconds)),
            ("prompt_seconds", "Time spent on prompts.", Self.number(took.promptSeconds)),
            ("generate_seconds", "Time spent on answers.", Self.number(took.generateSeconds)),
            ("flash_bytes", "Bytes of weights read.", "\(took.flashBytes)"),
            ("bundle_hits", "Experts and neurons that were in memory.", "\(took.bundleHits)"),
            ("bundle_misses", "Those that had to be read.", "\(took.bundleMisses)"),
            (
                "suspensions", "Times that a generation gave up its KV pages for others.",
                "\(took.suspensionCount)"
            )
        ]
        for counter in counters {
            single("sluiced_\(counter.name)_total", "counter", counter.help, counter.value)
        }
    }

    private mutating func writeEngine(_ engine: EngineLoad) {
        single(
            "sluiced_generations_suspended", "gauge",
            "Generations that gave up their KV pages and wait for others.",
            "\(engine.suspended)")
        single("sluiced_kv_pages", "gauge", "KV pages of loaded models.", "\(engine.pages)")
        single(
            "sluiced_kv_pages_promised", "gauge", "Those of them that generations may count on.",
            "\(engine.pagesPromised)")
    }

    private mutating func writeModels(_ loaded: [ModelSummary], _ memory: MemoryPlan?) {
        let known = loaded.filter { $0.loaded != nil }
        if !loaded.isEmpty { head("sluiced_model_loaded", "gauge", "Models that are loaded.") }
        for model in loaded { line("sluiced_model_loaded", labels: [("model", model.name)], "1") }
        if !known.isEmpty { head("sluiced_context_tokens", "gauge", "Their contexts.") }
        for model in known {
            line(
                "sluiced_context_tokens", labels: [("model", model.name)],
                "\(model.loaded?.contextTokens ?? 0)")
        }
        guard let memory else { return }
        single(
            "sluiced_memory_limit_bytes", "gauge", "The budget.", "\(memory.limitBytes)")
        head("sluiced_memory_bytes", "gauge", "What is held of it, by purpose.")
        for term in memory.terms {
            line("sluiced_memory_bytes", labels: [("term", term.name)], "\(term.bytes)")
        }
    }

    /// llama-server's names.
    private mutating func writeAliases(_ books: Metrics.Books, _ load: ServerLoad) {
        let took = books.took
        let computed = took.promptTokens - took.cachedTokens
        let values: [(name: String, type: String, help: String, value: String)] = [
            ("prompt_tokens_total", "counter", "Prompt tokens computed.", "\(computed)"),
            (
                "prompt_seconds_total", "counter", "Time spent on prompts.",
                Self.number(took.promptSeconds)
            ),
            (
                "tokens_predicted_total", "counter", "Tokens of answers.",
                "\(took.generatedTokens)"
            ),
            (
                "tokens_predicted_seconds_total", "counter", "Time spent on answers.",
                Self.number(took.generateSeconds)
            ),
            (
                "prompt_tokens_seconds", "gauge", "Prompt tokens per second.",
                Self.rate(computed, took.promptSeconds)
            ),
            (
                "predicted_tokens_seconds", "gauge", "Tokens of answers per second.",
                Self.rate(took.generatedTokens, took.generateSeconds)
            ), ("requests_processing", "gauge", "Generations running.", "\(load.running)"),
            ("requests_deferred", "gauge", "Generations that wait.", "\(load.waiting)")
        ]
        for value in values {
            single("llamacpp:\(value.name)", value.type, value.help, value.value)
        }
    }

    // MARK: lines

    private static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "0" }

    private static func rate(_ tokens: Int, _ seconds: Double) -> String {
        number(seconds > 0 ? Double(tokens) / seconds : 0)
    }

    private mutating func head(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private mutating func single(
        _ name: String, _ type: String, _ help: String, _ value: String
    ) {
        head(name, type, help)
        text += "\(name) \(value)\n"
    }

    private mutating func line(
        _ name: String, labels: [(name: String, value: String)], _ value: String
    ) {
        let list = labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
        text += "\(name){\(list.joined(separator: ","))} \(value)\n"
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n", "\r\n": result += "\\n"
            default: result.append(character)
            }
        }
    }

    private mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
        head(name, "histogram", help)
        for (bound, count) in zip(histogram.bounds, histogram.cumulated) {
            line(name + "_bucket", labels: [("le", "\(bound)")], "\(count)")
        }
        line(name + "_bucket", labels: [("le", "+Inf")], "\(histogram.count)")
        text += "\(name)_sum \(Self.number(histogram.sum))\n\(name)_count \(histogram.count)\n"
    }
}
