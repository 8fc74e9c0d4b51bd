// Runs the built programs, which lie beside the tests, and says how they ended and what they took.

import Glibc
import LinuxSystem
import TestSupport

/// How a program ended.
struct Ending {
    /// The exit status, or 128 and the signal's number.
    let status: Int32
    let output: String
    let errors: String

    /// Lines on standard error but those that only say how far long work is, which come or do not
    /// come with the speed of the machine.
    var errorLines: [Substring] {
        errors.split(separator: "\n").filter {
            !($0.hasSuffix(" s so far") || $0.contains(" % after "))
        }
    }
}

struct Program {
    /// The folder of the built programs.
    static let folder = FileSystem.parent(of: CommandLine.arguments[0])
    static let sluice = Program(path: "\(folder)/sluice")
    static let sluiced = Program(path: "\(folder)/sluiced")

    let path: String

    /// Where programs keep what they measure unless a test says otherwise: beside themselves, so
    /// that drives are measured once and the user's own state is left alone.
    static let stateFolder = "\(folder)/test-state"

    /// What programs are told by a test, never by the user's own environment: a model that the user
    /// has would be found instead of the one that is imported.
    private static let ownVariables = [
        "XDG_STATE_HOME=", "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "SLUICE_LIBRARY="
    ]

    /// Starts the program with its output in files of `scratch`.
    func start(
        _ arguments: [String], in scratch: Scratch, input: String = "/dev/null",
        stateFolder: String = stateFolder
    ) throws -> RunningProgram {
        let number = UInt32.random(in: 0...UInt32.max)
        let (output, errors) = (scratch.path("\(number).out"), scratch.path("\(number).err"))
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        let create = O_WRONLY | O_CREAT | O_TRUNC
        unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, output, create, 0o600)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, errors, create, 0o600)
        var process = pid_t()
        let words = unsafe ([path] + arguments).map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        let own = [
            "XDG_STATE_HOME=" + stateFolder, "XDG_DATA_HOME=" + scratch.path("data"),
            "XDG_CONFIG_HOME=" + scratch.path("config")
        ]
        var environment = unsafe own.map { unsafe strdup($0) }
        defer { for index in own.indices { unsafe free(environment[index]) } }
        var variable = unsafe environ
        while let text = unsafe variable.pointee {
            let name = unsafe String(cString: text)
            let isOwn = Self.ownVariables.contains { name.hasPrefix($0) }
            if !isOwn { unsafe environment.append(text) }
            unsafe variable += 1
        }
        unsafe environment.append(nil)
        let status = unsafe posix_spawn(&process, path, &actions, nil, words, environment)
        guard status == 0 else {
            throw SystemError("posix_spawn", errorNumber: status, subject: path)
        }
        return RunningProgram(process: process, output: output, errors: errors)
    }

    /// Runs the program to its end with at most 48 MiB of memory of its own. Its code and
    /// libraries, which are the file system's, take less than 16 MiB: together it stays below 64
    /// MiB, or dies.
    ///
    /// (A child's getrusage(2) would count the pages of the test that started it.)
    func runLimited(_ arguments: [String], in scratch: Scratch) throws -> Ending {
        try Program(path: "/bin/sh").run(
            ["-c", "ulimit -d 49152 && exec \"$0\" \"$@\"", path] + arguments, in: scratch)
    }

    /// Runs the program to its end.
    func run(
        _ arguments: [String], in scratch: Scratch, input: String = "/dev/null",
        stateFolder: String = stateFolder
    ) throws -> Ending {
        try start(arguments, in: scratch, input: input, stateFolder: stateFolder).wait()
    }
}

struct RunningProgram {
    let process: pid_t
    let output: String
    let errors: String

    func signal(_ number: Int32) { kill(process, number) }

    func wait() -> Ending {
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return Ending(
            status: signal == 0 ? status >> 8 & 0xff : 128 + signal, output: Self.text(output),
            errors: Self.text(errors))
    }

    private static func text(_ path: String) -> String {
        String(decoding: fileBytes(path) ?? [], as: UTF8.self)
    }
}

/// A folder of a test's own, removed at its end.
final class Scratch {
    let folder: String

    init() throws {
        folder = "/tmp/sluice-command-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileSystem.createDirectory(folder)
    }

    deinit { Self.removeTree(folder) }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = try FileDescriptor(path: path(name), mode: .create)
        try unsafe file.write(bytes.span.bytes, at: 0)
        return path(name)
    }

    static func removeTree(_ path: String) {
        for name in (try? FileSystem.names(in: path)) ?? [] { removeTree("\(path)/\(name)") }
        if unsafe unlink(path) != 0 { _ = unsafe rmdir(path) }
    }
}

enum Repository {
    static let folder = FileSystem.parent(
        of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
    static let model = "\(folder)/Models/shell-moe-q4_0.gguf"
    static let fixtures = "\(folder)/Tests/Fixtures"
}
