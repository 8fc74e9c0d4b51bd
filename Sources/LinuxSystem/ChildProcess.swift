// Another program that does something for this one: started without a shell, told what to do on its
// standard input, read through pipes, and never left behind.

internal import Glibc
internal import Synchronization

/// A running program. Ends with its owner.
package final class ChildProcess: Sendable {
    /// What it writes.
    package let output: FileDescriptor
    private let errors: FileDescriptor
    private let process: pid_t
    /// Its status as waitpid(2) gives it, once it was waited for.
    private let status = Mutex<Int32?>(nil)
    private static let errorBytesMax = 4096

    /// Starts the program `name`, found along `$PATH`.
    ///
    /// - Parameter input: at most 64 KiB, all that it can read.
    /// - Throws: `SystemError`, with `ENOENT` where there is no such program.
    package init(
        _ name: String, arguments: [String], input: [UInt8]
    ) throws(SystemError) {
        let given = try FileDescriptor.pipe(name)
        let output = try FileDescriptor.pipe(name)
        let errors = try FileDescriptor.pipe(name)
        // Before anybody could close the other end: the pipe holds it all.
        let written = unsafe input.withUnsafeBytes { bytes in
            unsafe Glibc.write(given.writeEnd.rawValue, bytes.baseAddress, bytes.count)
        }
        guard written == input.count else {
            throw SystemError("write", errorNumber: written < 0 ? errno : EMSGSIZE, subject: name)
        }
        process = try Self.spawn(
            name, [name] + arguments,
            [given.readEnd.rawValue, output.writeEnd.rawValue, errors.writeEnd.rawValue])
        self.output = output.readEnd
        self.errors = errors.readEnd
    }

    deinit { stop() }

    /// Ends it at once, unless it has ended.
    package func stop() {
        status.withLock { status in
            guard status == nil else { return }
            kill(process, SIGKILL)
            status = Self.wait(for: process)
        }
    }

    /// Its exit status, or 128 and the number of the signal that ended it. Waits for the end.
    package func exitStatus() -> Int32 {
        let status = status.withLock { status in
            let value = status ?? Self.wait(for: process)
            status = value
            return value
        }
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }

    /// What it has written to standard error, its last line.
    package func lastError() -> String {
        var bytes = [UInt8](repeating: 0, count: Self.errorBytesMax)
        var count: Int?
        do {
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            count = try? errors.readArriving(into: &raw, within: 0)
        }
        let text = String(decoding: bytes.prefix(count ?? 0), as: UTF8.self)
        return String(text.split(separator: "\n").last ?? "")
    }

    private static func wait(for process: pid_t) -> Int32 {
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status
    }

    /// In a group of its own, so that Ctrl-C is ours to handle, and with signals as they are at
    /// first.
    private static func spawn(
        _ name: String, _ words: [String], _ standard: [Int32]
    ) throws(SystemError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in standard.enumerated() {
            unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
        let arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe arguments.indices { unsafe free(arguments[index]) } }
        var process = pid_t()
        let status = unsafe posix_spawnp(
            &process, name, &actions, &attributes, arguments, environ)
        guard status == 0 else { throw SystemError("start", errorNumber: status, subject: name) }
        return process
    }
}
