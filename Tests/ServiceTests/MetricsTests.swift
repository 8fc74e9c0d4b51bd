// Prometheus's text format: what was counted, in lines that its parser takes.

import GenerationAPI
import HTTPInterface
import Memory
import Service
import TestSupport
import Testing

@Suite(.serialized) struct MetricsTests {
    private static func record(_ route: String, _ status: Int) -> RequestRecord {
        var record = RequestRecord(route: route, status: status, seconds: 1)
        record.outcome = status == 200 ? "stop" : "overloaded"
        record.promptTokens = 10
        record.generatedTokens = 5
        record.statistics.promptTokens = 10
        record.statistics.cachedTokens = 4
        record.statistics.generatedTokens = 5
        record.statistics.promptSeconds = 2
        record.statistics.flashBytes = 4096
        return record
    }

    @Test func everythingCountedIsThere() {
        let metrics = Metrics()
        for status in [200, 200, 429] {
            metrics.add(Self.record("/v1/completions", status))
        }
        for (seconds, isFirst) in [(0.3, true), (0.003, false), (99, false), (.infinity, false)] {
            metrics.addPiece(after: seconds, isFirst: isFirst)
        }
        var load = ServerLoad()
        load.connections = 3
        load.waiting = 2
        var plan = MemoryPlan(limitBytes: 100)
        plan.add(.keyValuePages, 7)
        let model = ModelSummary(
            name: "a \"b\"\\", fileBytes: 1, modified: 0, isLoaded: true)
        var engine = EngineLoad()
        (engine.pages, engine.pagesPromised, engine.suspended) = (64, 12, 1)
        let text = MetricsText.write(
            metrics.all, load: load, engine: engine, loaded: [model], memory: plan)
        for line in [
            "sluiced_requests_total{route=\"/v1/completions\",status=\"200\"} 2",
            "sluiced_requests_total{route=\"/v1/completions\",status=\"429\"} 1",
            "sluiced_outcomes_total{outcome=\"overloaded\"} 1",
            "sluiced_outcomes_total{outcome=\"stop\"} 2",
            "sluiced_refused_total 1", "sluiced_connections 3", "sluiced_generations_waiting 2",
            "sluiced_prompt_tokens_total 30", "sluiced_cached_tokens_total 12",
            "sluiced_generated_tokens_total 15", "sluiced_flash_bytes_total 12288",
            "sluiced_prompt_seconds_total 6.0", "sluiced_memory_bytes{term=\"KV pages\"} 7",
            "sluiced_memory_limit_bytes 100", "sluiced_model_loaded{model=\"a \\\"b\\\"\\\\\"} 1",
            "sluiced_time_to_first_token_seconds_bucket{le=\"0.25\"} 0",
            "sluiced_time_to_first_token_seconds_bucket{le=\"0.5\"} 1",
            "sluiced_time_to_first_token_seconds_count 1",
            "sluiced_inter_token_seconds_bucket{le=\"0.0025\"} 0",
            "sluiced_inter_token_seconds_bucket{le=\"10.0\"} 1",
            "sluiced_inter_token_seconds_bucket{le=\"+Inf\"} 2",
            "sluiced_kv_pages 64", "sluiced_kv_pages_promised 12",
            "sluiced_generations_suspended 1", "sluiced_suspensions_total 0",
            "llamacpp:prompt_tokens_total 18", "llamacpp:tokens_predicted_total 15",
            "llamacpp:prompt_tokens_seconds 3.0", "llamacpp:requests_deferred 2"
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
        expectWellFormed(text)
    }

    /// Each line is a comment or a sample; each name is described once, before its samples.
    private func expectWellFormed(_ text: String) {
        var described: [Substring] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                let name = line.split(separator: " ")[2]
                #expect(!described.contains(name), "\(name) twice")
                described.append(name)
                continue
            }
            guard !line.hasPrefix("# HELP ") else { continue }
            let name = line.prefix { $0 != "{" && $0 != " " }
            let isKnown = described.last.map {
                name == $0 || ["_bucket", "_sum", "_count"].contains(name.dropFirst($0.count))
            }
            #expect(isKnown == true, "\(line)")
            #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
        }
        #expect(text.hasSuffix("\n"))
    }

    @Test func theDaemonCounts() throws {
        let daemon = try RunningDaemon()
        _ = daemon.manager.receive()
        let output = daemon.directory.path + "/metrics"
        let ask = "curl -sf --max-time 10 --unix-socket '\(daemon.socket)' http://localhost"
        let body = "'{\"prompt\":\"hello\"}'"
        #expect(Shell.run("\(ask)/v1/completions -d \(body) > /dev/null") == 0)
        #expect(Shell.run("\(ask)/metrics > '\(output)'") == 0)
        let text = String(decoding: fileBytes(output) ?? [], as: UTF8.self)
        expectWellFormed(text)
        for line in [
            "sluiced_requests_total{route=\"/v1/completions\",status=\"200\"} 1",
            "sluiced_time_to_first_token_seconds_count 1", "sluiced_inter_token_seconds_count 1",
            "sluiced_generated_tokens_total 2", "sluiced_model_loaded{model=\"echo\"} 1"
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line): \(text)")
        }
        daemon.signals.send(.terminate)
        #expect(daemon.wait() == "")
    }
}
