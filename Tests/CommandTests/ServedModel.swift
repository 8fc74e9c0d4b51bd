// The built daemon and its clients, as tests of the programs share them.

import Glibc
import LinuxSystem
import TestSupport
import Testing

/// The built daemon with models that were imported for it.
final class ServedModel {
    static let request = post(#""prompt":"What is","temperature":0,"max_tokens":8"#)
    /// Noise, which hardly ever ends by itself.
    static let endless = post(
        #""prompt":"What is","temperature":9,"top_k":0,"max_tokens":490,"stream":true"#)

    private let scratch: Scratch
    private let process: RunningProgram
    private var hasEnded = false
    let socket: String
    private(set) var errors = ""

    /// - Parameters:
    ///   - models: GGUF files by the names that they get; the bundled one unless a test says.
    ///   - profile: TOML, if any.
    ///   - descriptorsMax: how many files it may have open; nil is what the test may.
    init(
        memory: String, models: [String: String] = ["shell": Repository.model],
        profile: String? = nil, descriptorsMax: Int? = nil
    ) throws {
        let scratch = try Scratch()
        self.scratch = scratch
        let library = scratch.path("library")
        socket = scratch.path("socket")
        for (name, source) in models {
            let imported = try Program.sluice.run(
                ["import", source, "--library", library, "--name", name], in: scratch)
            #expect(imported.status == 0, "\(name): \(imported.errors)")
        }
        var arguments = ["--memory", memory, "--library", library, "--socket", socket]
        if let profile {
            let path = try scratch.write(Array(profile.utf8), to: "profile.toml")
            arguments += ["--profile", path]
        }
        if let descriptorsMax {
            let script = "ulimit -n \(descriptorsMax) && exec \"$0\" \"$@\""
            process = try Program(path: "/bin/sh").start(
                ["-c", script, Program.sluiced.path] + arguments, in: scratch)
        } else {
            process = try Program.sluiced.start(arguments, in: scratch)
        }
        for _ in 0..<1000 {
            if let client = try? RawClient(socket) {
                client.close()
                return
            }
            usleep(10_000)
        }
        Issue.record("sluiced was not ready after ten seconds")
    }

    deinit { if !hasEnded { process.signal(SIGKILL) } }

    /// A request with a JSON object of `fields`.
    static func post(_ fields: String, to route: String = "/v1/completions") -> String {
        let body = "{\(fields)}"
        return "POST \(route) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// The answer to a fixed question, but for what differs each time.
    func complete() throws -> String { try Self.complete(socket) }

    static func complete(_ socket: String) throws -> String {
        let client = try RawClient(socket)
        try client.send(request)
        let answer = client.read(until: nil)
        let head = answer.prefix { $0 != "\r\n" }
        guard let start = answer.firstRange(of: "\"choices\""),
            let end = answer.firstRange(of: "\"prompt_tokens_details\"")
        else { return answer }
        return String(head + answer[start.lowerBound..<end.lowerBound])
    }

    /// What `sluice show` says of one of its models.
    func show(_ model: String, _ arguments: [String]) throws -> String {
        let ending = try Program.sluice.run(
            ["show", model, "--library", scratch.path("library")] + arguments, in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        return ending.output
    }

    /// The whole answer to a request with a JSON object of `fields`.
    func answer(_ fields: String, to route: String) throws -> String {
        try answer(to: Self.post(fields, to: route))
    }

    /// What is there to read at a route.
    func read(_ route: String) throws -> String {
        try answer(to: "GET \(route) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    private func answer(to request: String) throws -> String {
        let client = try RawClient(socket)
        try client.send(request)
        return client.read(until: nil)
    }

    /// Ends the daemon and returns its status.
    func stop() -> Int32 {
        hasEnded = true
        process.signal(SIGTERM)
        let ending = process.wait()
        errors = ending.errors
        return ending.status
    }

    /// A field of the daemon's /proc status, in bytes.
    func memory(_ field: String) throws -> Int {
        let status = try #require(TextFile.read("/proc/\(process.process)/status"))
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(field + ":") })
        return (Int(line.filter(\.isNumber)) ?? .max >> 10) << 10
    }
}

/// A connection that sends and reads whatever a test wants. Waiting gives up after a minute, so
/// that a hang is a failure.
final class RawClient {
    private let descriptor: CInt
    private var isOpen = true

    init(_ path: String) throws {
        descriptor = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: path.utf8)
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            let number = errno
            Glibc.close(descriptor)
            isOpen = false
            throw SystemError("connect", errorNumber: number, subject: path)
        }
    }

    deinit { close() }

    func close() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
    }

    private func send(_ bytes: ArraySlice<UInt8>, _ flags: Int) -> Int {
        unsafe bytes.withUnsafeBytes { bytes in
            uninterrupted {
                unsafe Glibc.send(
                    descriptor, bytes.baseAddress, bytes.count, CInt(Int(MSG_NOSIGNAL) | flags))
            }
        }
    }

    func send(_ text: String) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = send(rest, 0)
            guard count > 0 else { throw SystemError("send", errorNumber: errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// Sends without waiting as much as there is room for; gives up when there was none for half a
    /// second. Returns how many bytes were taken.
    func sendUntilFull(_ bytes: [UInt8]) -> Int {
        var rest = bytes[...]
        var tries = 0
        while !rest.isEmpty, tries < 50 {
            let count = send(rest, Int(MSG_DONTWAIT))
            if count > 0 {
                rest = rest.dropFirst(count)
                tries = 0
            } else {
                tries += 1
                usleep(10_000)
            }
        }
        return bytes.count - rest.count
    }

    /// Reads until the text so far contains `mark`; nil is to the end.
    func read(until mark: String?) -> String {
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 65536)
        while mark.map({ !text.contains($0) }) ?? true {
            let count = uninterrupted { unsafe recv(descriptor, &buffer, buffer.count, 0) }
            guard count > 0 else { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return text
    }

    /// The status of the answer; 0 when there is none.
    func status() -> Int {
        Int(read(until: "\r\n").split(separator: " ").dropFirst().first ?? "") ?? 0
    }
}
