// The socket's path under attack: stale and live sockets, files, links, two daemons.

import Glibc
import LinuxSystem
import Service
import Testing

@Suite struct SocketTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.path + "/s" }

    private func exists(_ path: String) -> Bool {
        var info = stat()
        return unsafe lstat(path, &info) == 0
    }

    private func reason(_ path: String) -> SocketError.Reason? {
        do throws(SocketError) {
            _ = try BoundSocket(path: path, mode: 0o660)
            return nil
        } catch {
            #expect(!error.description.contains("\n"))
            #expect(error.description.contains(path))
            return error.reason
        }
    }

    @Test func bindsWithItsModeAndRemovesItself() throws {
        let socket = try BoundSocket(path: path, mode: 0o640)
        var info = stat()
        #expect(unsafe lstat(path, &info) == 0)
        #expect(info.st_mode & 0o777 == 0o640)
        #expect(info.st_mode & S_IFMT == S_IFSOCK)
        socket.remove()
        #expect(!exists(path))
    }

    @Test func healsAStaleSocket() throws {
        _ = try TestSocket.make(path, isLive: false)
        let socket = try BoundSocket(path: path, mode: 0o660)
        socket.remove()
    }

    @Test func neverStealsALiveSocket() throws {
        let live = try #require(try TestSocket.make(path, isLive: true))
        defer { close(live) }
        #expect(reason(path) == .inUse)
        #expect(exists(path))
    }

    @Test func onlyOneDaemonHoldsAPath() throws {
        let first = try BoundSocket(path: path, mode: 0o660)
        #expect(reason(path) == .inUse)
        #expect(ExitStatus(SocketErrorSample.inUse) == .tryAgain)
        #expect(exists(path))
        first.remove()
    }

    @Test func leavesWhatIsNotASocket() throws {
        let file = directory.write("keep", to: "file")
        #expect(reason(file) == .unusablePath)
        #expect(exists(file))
        #expect(reason(directory.path) == .unusablePath)
        let target = directory.path + "/target"
        _ = try TestSocket.make(target, isLive: false)
        unsafe symlink(target, directory.path + "/link")
        #expect(reason(directory.path + "/link") == .unusablePath)
        #expect(exists(target))
        unsafe mkfifo(directory.path + "/fifo", 0o600)
        #expect(reason(directory.path + "/fifo") == .unusablePath)
    }

    @Test func refusesALinkInTheLocksPlace() throws {
        let victim = directory.write("keep", to: "victim")
        unsafe symlink(victim, path + ".lock")
        #expect(reason(path) == .system)
    }

    @Test func refusesPathsThatDoNotFit() {
        #expect(reason(directory.path + "/" + String(repeating: "a", count: 107)) == .unusablePath)
        #expect(reason("/nonexistent/directory/s") == .unusablePath)
        #expect(throws: SocketError.self) { try BoundSocket(path: "", mode: 0o660) }
        #expect(throws: SocketError.self) { try BoundSocket(path: "/tmp/a\0b", mode: 0o660) }
    }

    @Test func removesOnlyItsOwnSocket() throws {
        let socket = try BoundSocket(path: path, mode: 0o660)
        unsafe unlink(path)
        let other = try #require(try TestSocket.make(path, isLive: true))
        defer { close(other) }
        socket.remove()
        #expect(exists(path))
    }
}

/// Errors made by hand where only their kind matters.
enum SocketErrorSample {
    static var inUse: any Error {
        let directory = TemporaryDirectory()
        let path = directory.path + "/s"
        do {
            let first = try BoundSocket(path: path, mode: 0o600)
            defer { first.remove() }
            _ = try BoundSocket(path: path, mode: 0o600)
        } catch {
            return error
        }
        return TestSocket.Failure()
    }
}
