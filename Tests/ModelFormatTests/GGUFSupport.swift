// What the GGUF tests share: fixture files, and asking for the error that a file is refused with.

import Glibc
import ModelFormat
import TestSupport
import Testing

enum GGUFTestFiles {
    /// The repository's root.
    static let root: String = {
        var path = #filePath[...]
        for _ in 0..<3 { path = path[..<(path.lastIndex(of: "/") ?? path.startIndex)] }
        return String(path)
    }()
    static let fixtures = root + "/Tests/Fixtures/gguf/"
    /// The data beside the repository, which not every machine has.
    static let shared = root + "/../shared/"
    static let hasShared = unsafe access(shared + "models", R_OK) == 0

    static func read(_ path: String) throws -> [UInt8] {
        let file = try unsafe #require(fopen(path, "rb"), "cannot open \(path)")
        defer { _ = unsafe fclose(file) }
        unsafe fseek(file, 0, SEEK_END)
        var bytes = [UInt8](repeating: 0, count: unsafe ftell(file))
        unsafe rewind(file)
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe fread(buffer.baseAddress, 1, buffer.count, file)
        }
        try #require(count == bytes.count, "short read of \(path)")
        return bytes
    }

    static func source(_ name: String, in folder: String = fixtures) throws -> ByteArraySource {
        ByteArraySource(name: name, bytes: try read(folder + name))
    }

    static func open(_ name: String, in folder: String = fixtures) throws -> GGUFFile {
        try GGUFFile(parts: [source(name, in: folder)])
    }

    /// A file of hand-made bytes.
    static func open(_ builder: GGUFBuilder) throws(FormatError) -> GGUFFile {
        try GGUFFile(parts: [ByteArraySource(name: "test.gguf", bytes: builder.bytes())])
    }
}

/// The error that `body` ends with; recorded as a failure when it does not.
func refusal(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> some Any
) -> FormatError? {
    do {
        _ = try body()
        Issue.record("accepted", sourceLocation: sourceLocation)
        return nil
    } catch let error as FormatError {
        #expect(isOneLine(error), "\(error)", sourceLocation: sourceLocation)
        return error
    } catch {
        Issue.record("another error: \(error)", sourceLocation: sourceLocation)
        return nil
    }
}

/// Whether an error can be shown as it is: one line that names the file.
func isOneLine(_ error: FormatError) -> Bool {
    let text = error.description
    return text.utf8.count < 1_000 && text.hasPrefix(error.file)
        && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
}

/// Expects a refusal whose text contains `words`.
func expectRefused(
    _ words: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> some Any
) {
    guard let error = refusal(sourceLocation: sourceLocation, body) else { return }
    #expect(
        error.description.contains(words), "\(error.description)", sourceLocation: sourceLocation)
}
