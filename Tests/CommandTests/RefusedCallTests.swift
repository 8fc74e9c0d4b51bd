// The built programs where the kernel, or a filter before it, refuses system calls: containers and
// hardened units do. What can be done without is done without, the rest is one line.

import CRefusal
import Glibc
import LinuxSystem
import Synchronization
import TestSupport
import Testing

private let forkHandlerRuns = Atomic(0)

@Suite struct RefusedCallTests {
    static let ringCalls = ["io_uring_setup", "io_uring_register", "io_uring_enter"]
    static let errors = [EPERM, ENOMEM, ENOSYS]

    @Test(arguments: ringCalls, errors)
    func refusedRingsAreDoneWithout(call: String, error: Int32) throws {
        let scratch = try Scratch()
        let model = try Self.packed(in: scratch)
        let question = ["run", "--local", model, "What is curl?", "--temperature", "0"]
        let free = try Program.sluice.run(question + ["--memory", "25M"], in: scratch)
        let ending = try Program.sluice.start(
            question + ["--memory", "25M"], refusing: [call], error: error, in: scratch
        ).wait()
        #expect(ending.status == 0 && ending.output == free.output, "\(ending.errors)")
        let notices = ending.errorLines.filter { $0.contains(call) }
        #expect(notices.count == 1 && notices.allSatisfy { $0.contains("threads read instead") })
    }

    @Test(arguments: ringCalls, errors)
    func refusedRingsThatWereAskedForEndInOneLine(call: String, error: Int32) throws {
        let scratch = try Scratch()
        let model = try Self.packed(in: scratch)
        let profile = try scratch.write(
            Array("[flash]\nreader = \"io_uring\"\n".utf8), to: "profile.toml")
        let bench = ["bench", model, "--prompt", "8", "--generate", "2", "--runs", "1"]
        for command in [bench, ["run", "--local", model, "What is curl?"]] {
            let ending = try Program.sluice.start(
                command + ["--memory", "30M", "--profile", profile], refusing: [call],
                error: error, in: scratch
            ).wait()
            #expect(ending.status == 77, "\(ending.status) \(ending.errors)")
            #expect(
                ending.errorLines.count == 1 && ending.errors.contains(call), "\(ending.errors)")
        }
    }

    /// Calls that make things faster or surer, and nothing else.
    @Test(arguments: [
        "cachestat", "fadvise64", "fallocate", "fstatfs", "getrandom", "getsockopt", "madvise",
        "mlock", "prctl", "sched_getaffinity", "sched_setaffinity", "statx", "sync_file_range"
    ])
    func otherRefusedCallsAreDoneWithout(call: String) throws {
        let scratch = try Scratch()
        let model = try Self.packed(in: scratch)
        for error in Self.errors {
            let ending = try Program.sluice.start(
                [
                    "bench", model, "--memory", "30M", "--prompt", "8", "--generate", "2", "--runs",
                    "1"
                ],
                refusing: [call], error: error, in: scratch
            ).wait()
            #expect(ending.status == 0, "\(call) \(error): \(ending.status) \(ending.errors)")
        }
    }

    /// What libraries do before a fork may wait for ever for what other tests compute (OpenBLAS).
    @Test func startingWaitsForNoLibrary() throws {
        let handlers: @convention(c) () -> Void = { forkHandlerRuns.add(1, ordering: .relaxed) }
        #expect(pthread_atfork(handlers, nil, nil) == 0)
        let scratch = try Scratch()
        let ending = try Program.sluice.start(
            ["--version"], refusing: ["statx"], error: EPERM, in: scratch
        ).wait()
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(forkHandlerRuns.load(ordering: .relaxed) == 0)
    }

    private static func packed(in scratch: Scratch) throws -> String {
        let ending = try Program.sluice.run(
            ["import", Repository.model, "--library", scratch.folder, "--name", "shell"],
            in: scratch)
        #expect(ending.status == 0, "\(ending.errors)")
        return scratch.path("shell.sluice")
    }
}

extension Program {
    /// Starts the program with `calls` failing with `error`, or killing it where that is 0.
    func start(
        _ arguments: [String], refusing calls: [String], error: Int32, in scratch: Scratch
    ) throws -> RunningProgram {
        let number = UInt32.random(in: 0...UInt32.max)
        let (output, errors) = (scratch.path("\(number).out"), scratch.path("\(number).err"))
        let numbers = calls.map { unsafe crefusal_number($0) }
        #expect(numbers.allSatisfy { $0 >= 0 }, "\(calls)")
        let words = unsafe ([path] + arguments).map { unsafe strdup($0) } + [nil]
        let state = unsafe [strdup("XDG_STATE_HOME=" + Self.stateFolder), nil]
        defer {
            for index in unsafe words.indices { unsafe free(words[index]) }
            unsafe free(state[0])
        }
        let process = unsafe crefusal_start(
            path, words, state, "/dev/null", output, errors, numbers, Int32(numbers.count), error)
        guard process > 0 else { throw SystemError("fork", errorNumber: errno, subject: path) }
        return RunningProgram(process: process, output: output, errors: errors)
    }
}
