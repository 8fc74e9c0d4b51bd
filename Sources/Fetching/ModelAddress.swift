// Where a model is: a URL, or a file of a repository on a hub.

internal import LinuxSystem
package import Packing

/// An address that ``init(_:environment:)`` understood.
package struct ModelAddress: Sendable, Equatable {
    package static let hubPrefix = "hf:"

    /// What curl is given.
    package let url: String
    /// Its last component: what the model is called, and what its other parts are named after.
    package let fileName: String
    /// For a private repository; told to nobody but the hub.
    package let token: String?
    /// Whether the answers' ETag is the file's SHA-256.
    package let isOnHub: Bool

    /// - Parameters:
    ///   - text: `https://…`, `http://…`, or `hf:OWNER/REPO/FILE`, where FILE may be in a folder,
    ///     and `@REVISION` may follow REPO: a branch, a tag or a commit.
    ///   - environment: a variable's value: `HF_ENDPOINT` and `HF_TOKEN`, as the hub's own tools
    ///     have them.
    /// - Throws: `PackingError.transfer` with what is wrong with it.
    package init(
        _ text: String, environment: (String) -> String? = SystemCalls.environment
    ) throws(PackingError) {
        guard text.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) else {
            throw Self.refusal(text, "an address has no spaces and no control characters")
        }
        if text.hasPrefix(Self.hubPrefix) {
            let pieces = text.dropFirst(Self.hubPrefix.count).split(
                separator: "/", omittingEmptySubsequences: false)
            guard pieces.count >= 3, !pieces.contains(where: { ["", ".", ".."].contains($0) })
            else { throw Self.refusal(text, "expected hf:OWNER/REPO/FILE.gguf") }
            var base = environment("HF_ENDPOINT") ?? "https://huggingface.co"
            while base.hasSuffix("/") { base.removeLast() }
            let repository = pieces[1].split(
                separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            // Slashes of a revision, as of refs/pr/1, may only be written as %2F.
            let revision = repository.count > 1 ? Self.unescaped(String(repository[1])) : "main"
            guard !repository[0].isEmpty, !["", ".", ".."].contains(revision) else {
                throw Self.refusal(text, "expected hf:OWNER/REPO@REVISION/FILE.gguf")
            }
            let names = pieces.map { Self.escaped($0) }
            url =
                "\(base)/\(names[0])/\(Self.escaped(repository[0]))/resolve/"
                + "\(Self.escaped(revision[...]))/"
                + names.dropFirst(2).joined(separator: "/")
            fileName = pieces.last.map { String($0) } ?? ""
            token = environment("HF_TOKEN")
            isOnHub = true
        } else {
            url = text
            fileName = Self.unescaped(Self.lastComponent(of: text).name)
            token = nil
            isOnHub = false
        }
        guard ["https://", "http://"].contains(where: url.lowercased().hasPrefix) else {
            throw Self.refusal(text, "expected hf:OWNER/REPO/FILE.gguf or a URL of https")
        }
        guard !fileName.isEmpty else { throw Self.refusal(text, "the address names no file") }
    }

    private init(url: String, fileName: String, like other: ModelAddress) {
        self.url = url
        self.fileName = fileName
        token = other.token
        isOnHub = other.isOnHub
    }

    /// Where another file is, beside this one.
    package func sibling(_ name: String) -> ModelAddress {
        let (place, _) = Self.lastComponent(of: url)
        return ModelAddress(
            url: url[..<place.lowerBound] + Self.escaped(name[...]) + url[place.upperBound...],
            fileName: name, like: self)
    }

    /// For messages: without what only the server should see.
    package var shown: String {
        let end = url.firstIndex { $0 == "?" || $0 == "#" } ?? url.endIndex
        var text = String(url[..<end])
        // A password before the host.
        if let start = text.firstRange(of: "://")?.upperBound {
            let host = text[start...].prefix { $0 != "/" }
            if let at = host.lastIndex(of: "@") { text.removeSubrange(start...at) }
        }
        return text
    }

    /// Whether a redirect may lead to a connection that others can read.
    var isSecure: Bool { url.lowercased().hasPrefix("https://") }

    private static func refusal(_ text: String, _ reason: String) -> PackingError {
        .transfer(address: text, reason: reason, .usage)
    }

    /// What is between the path's last slash and a query.
    private static func lastComponent(of url: String) -> (place: Range<String.Index>, name: String)
    {
        let end = url.firstIndex { $0 == "?" || $0 == "#" } ?? url.endIndex
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        guard start < end, let slash = url[start..<end].lastIndex(of: "/") else {
            return (end..<end, "")
        }
        let place = url.index(after: slash)..<end
        return (place, String(url[place]))
    }

    private static func escaped(_ name: Substring) -> String {
        name.utf8.reduce(into: "") { text, byte in
            let scalar = Unicode.Scalar(byte)
            let isPlain =
                scalar.isASCII
                && (scalar.properties.isAlphabetic || (48...57).contains(byte)
                    || "-._~".unicodeScalars.contains(scalar))
            if isPlain {
                text.unicodeScalars.append(scalar)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += (digits.count < 2 ? "%0" : "%") + digits
            }
        }
    }

    private static func unescaped(_ name: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(name.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2,
                let value = UInt8(digits, radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
