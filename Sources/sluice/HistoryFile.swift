// The chat's history on disk: readable by its owner alone, bounded, and no reason for a chat to
// end.

internal import Glibc
internal import Library
internal import LineEditing
internal import LinuxSystem

/// Lines typed in chats, oldest first.
struct HistoryFile {
    private let path: String

    init(path: String = Places().state + "/history") { self.path = path }

    /// What is kept; nothing where there is none.
    ///
    /// - Throws: `SystemError` when there is something that cannot be read.
    func read() throws(SystemError) -> History {
        guard FileSystem.exists(path) else { return History() }
        let bytes = try TextInput.read(path)
        let history = History(file: bytes)
        // What no longer counts leaves the file as well.
        if bytes.count > 2 * History.bytesMax || history.file.count < bytes.count / 2 {
            try FileSystem.replace(path, with: history.file, permissions: 0o600)
        }
        return history
    }

    /// Adds a line (`O_APPEND`: chats may run side by side).
    ///
    /// - Throws: `SystemError` when it cannot be kept.
    func add(_ line: String) throws(SystemError) {
        var one = History()
        one.add(line)
        let bytes = one.file
        guard !bytes.isEmpty else { return }
        try FileSystem.createDirectory(FileSystem.parent(of: path))
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC
        let descriptor = unsafe open(path, flags, 0o600)
        guard descriptor >= 0 else { throw SystemError("open", errorNumber: errno, subject: path) }
        defer { close(descriptor) }
        let count = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
        }
        guard count == bytes.count else {
            throw SystemError(
                "write", errorNumber: count < 0 ? errno : ENOSPC, subject: path)
        }
    }
}
