// The built daemon before clients that pipeline without reading, come in crowds or leave it without
// descriptors: it stays within its budget, answers everybody with something, and goes on.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct CrowdTests {
    private static let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test func requestsThatNobodyReadsTheAnswersOfAreLeftUnread() throws {
        let daemon = try ServedModel(memory: "48M")
        let before = try daemon.complete()
        #expect(before.contains("200 OK"))
        let bytes = Array(String(repeating: Self.health, count: 80_000).utf8)
        let clients = try (0..<10).map { _ in try RawClient(daemon.socket) }
        let sent = clients.map { $0.sendUntilFull(bytes) }
        #expect(sent.allSatisfy { $0 < bytes.count })
        #expect(try daemon.complete() == before)
        #expect(try daemon.memory("VmHWM") <= 48 << 20)
        for client in clients { client.close() }
        #expect(try daemon.complete() == before)
        #expect(daemon.stop() == 0)
    }

    @Test func everyoneInACrowdIsAnswered() throws {
        let daemon = try ServedModel(memory: "40M")
        let before = try daemon.complete()
        let clients = try (0..<300).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(Self.health)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses).isSubset(of: [200, 429]), "\(Set(statuses))")
        for client in clients { client.close() }
        #expect(try daemon.complete() == before)
        #expect(try daemon.memory("VmHWM") <= 40 << 20)
        #expect(daemon.stop() == 0)
    }

    @Test func aFullHouseSaysSo() throws {
        let daemon = try ServedModel(memory: "30M")
        let clients = try (0..<120).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(ServedModel.request)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses) == [200, 429], "\(Set(statuses))")
        #expect(try daemon.complete().contains("200 OK"))
        #expect(daemon.stop() == 0)
        #expect(daemon.errors.contains("requests refused: too many at once"))
        #expect(!daemon.errors.contains("refused=0"))
    }

    @Test func aHandfulOfDescriptorsIsEnough() throws {
        let daemon = try ServedModel(memory: "40M", descriptorsMax: 48)
        let clients = try (0..<100).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(Self.health)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses).isSubset(of: [200, 429]), "\(Set(statuses))")
        for client in clients { client.close() }
        #expect(try daemon.complete().contains("200 OK"))
        #expect(daemon.stop() == 0)
        #expect(daemon.errors.contains("too few open files"))
    }

    @Test func aStreamThatWaitsHearsOfIt() throws {
        let daemon = try ServedModel(memory: "40M")
        let busy = try (0..<6).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(ServedModel.endless)
            return client
        }
        #expect(busy[0].read(until: "data: ").contains("data: "))
        let waiting = try RawClient(daemon.socket)
        try waiting.send(ServedModel.endless)
        #expect(waiting.read(until: ": queued\n\n").contains("200 OK"))
        for client in busy { client.close() }
        waiting.close()
        #expect(daemon.stop() == 0)
    }
}

/// The built daemon with the bundled model.
private final class ServedModel {
    static let request = post(#""prompt":"What is","temperature":0,"max_tokens":8"#)
    /// Noise, which hardly ever ends by itself.
    static let endless = post(
        #""prompt":"What is","temperature":9,"top_k":0,"max_tokens":490,"stream":true"#)

    private let scratch: Scratch
    private let process: RunningProgram
    private var hasEnded = false
    let socket: String
    private(set) var errors = ""

    /// - Parameter descriptorsMax: how many files it may have open; nil is what the test may.
    init(memory: String, descriptorsMax: Int? = nil) throws {
        let scratch = try Scratch()
        self.scratch = scratch
        let library = scratch.path("library")
        socket = scratch.path("socket")
        let imported = try Program.sluice.run(
            ["import", Repository.model, "--library", library, "--name", "shell"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        let arguments = ["--memory", memory, "--library", library, "--socket", socket]
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

    private static func post(_ fields: String) -> String {
        let body = "{\(fields)}"
        return "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    /// The answer to a fixed question, but for what differs each time.
    func complete() throws -> String {
        let client = try RawClient(socket)
        try client.send(Self.request)
        let answer = client.read(until: nil)
        let head = answer.prefix { $0 != "\r\n" }
        guard let start = answer.firstRange(of: "\"choices\""),
            let end = answer.firstRange(of: "\"timings\"")
        else { return answer }
        return String(head + answer[start.lowerBound..<end.lowerBound])
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
private final class RawClient {
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
        unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(
                descriptor, $0.baseAddress, $0.count, CInt(Int(MSG_NOSIGNAL) | flags))
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
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
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
