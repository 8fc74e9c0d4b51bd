// The files of this repository, read from the disk: those that git knows or would add, or, where
// there is no git, all outside build folders.

import Glibc

/// One text file: where it is below the root, and what it says.
struct SourceFile {
    let path: String
    let bytes: [UInt8]

    init(path: String, bytes: [UInt8]) {
        self.path = path
        self.bytes = bytes
    }

    init(path: String, text: String) {
        self.init(path: path, bytes: Array(text.utf8))
    }

    var lines: [Substring] {
        String(decoding: bytes, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }

    var name: Substring { path.split(separator: "/").last ?? "" }

    /// What follows the last dot of the name, or the name itself.
    var kind: Substring { name.split(separator: ".").last ?? "" }

    var isSwift: Bool { kind == "swift" }
    var isC: Bool { kind == "c" || kind == "h" }
    var isCode: Bool { isSwift || isC || kind == "py" || kind == "sh" }

    /// Models and pictures are not read as text.
    var isText: Bool { !bytes.contains(0) }
}

enum SourceTree {
    /// The folder that holds Package.swift.
    static let root: String = {
        // Tests/TidyTests/SourceTree.swift: three steps up.
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    static let files: [SourceFile] = {
        var paths = pathsThatGitKnows()
        if paths.isEmpty { paths = pathsBelow("") }
        return paths.sorted().compactMap { path in
            guard let bytes = read(root + "/" + path) else { return nil }
            let file = SourceFile(path: path, bytes: bytes)
            return file.isText ? file : nil
        }
    }()

    private static func pathsThatGitKnows() -> [String] {
        let quoted = "'" + root.split(separator: "'").joined(separator: "'\\''") + "'"
        let command =
            "git -C \(quoted) ls-files -z --cached --others --exclude-standard 2>&-"
        guard let pipe = unsafe popen(command, "re") else { return [] }
        let output = unsafe readAll(pipe)
        guard unsafe pclose(pipe) == 0 else { return [] }
        return output.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Everything below a folder, except hidden and build folders.
    private static func pathsBelow(_ folder: String) -> [String] {
        guard let stream = unsafe opendir(root + "/" + folder) else { return [] }
        defer { unsafe closedir(stream) }
        var found: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            let path = folder.isEmpty ? name : folder + "/" + name
            if unsafe entry.pointee.d_type == UInt8(DT_DIR) {
                if !name.hasPrefix(".") || name == ".ci" { found += pathsBelow(path) }
            } else if !name.hasSuffix(".resolved") {
                found.append(path)
            }
        }
        return found
    }

    private static func read(_ path: String) -> [UInt8]? {
        guard let file = unsafe fopen(path, "re") else { return nil }
        defer { unsafe fclose(file) }
        return unsafe readAll(file)
    }

    private static func readAll(_ file: UnsafeMutablePointer<FILE>) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe fread($0.baseAddress, 1, $0.count, file)
            }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }
}
