// A server of models for tests, as bad as it is told to be (Tests/Clients/model_server.py).

import Glibc
import LinuxSystem
import TestSupport
import Testing

/// Serves a folder's files over HTTP until it goes away.
final class ModelServer {
    private let process: RunningProgram
    private let log: String
    let port: String

    static let isPossible = finds("python3") && finds("curl")

    private static func finds(_ program: String) -> Bool {
        (SystemCalls.environment("PATH") ?? "").split(separator: ":").contains {
            FileSystem.exists("\($0)/\(program)")
        }
    }

    init(_ folder: String, in scratch: Scratch) throws {
        log = scratch.path("served-\(UInt32.random(in: 0...UInt32.max)).log")
        let started = try Program(path: "/usr/bin/env").start(
            ["python3", "\(Repository.folder)/Tests/Clients/model_server.py", folder, log],
            in: scratch)
        process = started
        var said = ""
        for _ in 0..<1000 where !said.hasSuffix("\n") {
            Thread.sleep(microseconds: 10_000)
            said = String(decoding: fileBytes(started.output) ?? [], as: UTF8.self)
        }
        port = String(said.dropLast())
        try #require(Int(port) != nil, "the server did not start")
    }

    deinit {
        process.signal(SIGKILL)
        _ = process.wait()
    }

    func url(_ method: String, _ name: String) -> String {
        "http://127.0.0.1:\(port)/\(method)/\(name)"
    }

    struct Request: Equatable {
        let first: Int
        let sent: Int
    }

    /// What it has sent in that way.
    func requests(_ method: String) -> [Request] {
        let text = String(decoding: fileBytes(log) ?? [], as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 4, words[0] == method, let first = Int(words[2]),
                let sent = Int(words[3])
            else { return nil }
            return Request(first: first, sent: sent)
        }
    }
}
