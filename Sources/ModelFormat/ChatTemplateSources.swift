// The chat templates of a model's file, as Jinja sources. A file may hold several by name; which of
// them a conversation takes is decided here.

package struct ChatTemplateSources: Sendable, Equatable {
    /// A template under a name of its file's own.
    package struct Named: Sendable, Equatable {
        package var name: String
        package var source: String

        package init(name: String, source: String) {
            self.name = name
            self.source = source
        }
    }

    /// What the template without a name is called.
    package static let defaultName = "default"
    package static let toolName = "tool_use"
    /// Templates with names of their own, and the bytes of such a name, at most.
    package static let othersMax = 32
    package static let nameBytesMax = 64

    /// `tokenizer.chat_template`.
    package var plain: String?
    /// `tokenizer.chat_template.tool_use`, for conversations with tools.
    package var tool: String?
    /// Every other `tokenizer.chat_template.NAME`, in the file's order.
    package var others: [Named] = []

    package init(plain: String? = nil, tool: String? = nil, others: [Named] = []) {
        self.plain = plain
        self.tool = tool
        self.others = others
    }

    /// What a conversation may ask for.
    package var names: [String] {
        [plain.map { _ in Self.defaultName }, tool.map { _ in Self.toolName }].compactMap(\.self)
            + others.map(\.name)
    }

    /// Every one of them.
    package var all: [String] { [plain, tool].compactMap(\.self) + others.map(\.source) }

    /// The template of a conversation that asks for none.
    package func source(hasTools: Bool) -> String? { hasTools ? tool ?? plain : plain }

    /// The template called `name`; nil where there is none.
    package func source(named name: String) -> String? {
        switch name {
        case Self.defaultName: plain ?? other(name)
        case Self.toolName: tool
        default: other(name)
        }
    }

    private func other(_ name: String) -> String? { others.first { $0.name == name }?.source }

    /// What is said where there is no template of a name.
    package var choices: String {
        names.isEmpty ? "the model has no chat template" : "the model has \(names.formatted)"
    }

    /// Memory that they take.
    package var byteCount: Int {
        others.reduce((plain?.utf8.count ?? 0) + (tool?.utf8.count ?? 0)) {
            $0 + $1.name.utf8.count + $1.source.utf8.count
        }
    }

    /// Whether `name` can be asked for: as long and as plain as names are.
    package static func isName(_ name: String) -> Bool {
        (1...nameBytesMax).contains(name.utf8.count)
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0) || "_-.".utf8.contains($0)
            }
    }
}

extension [String] {
    fileprivate var formatted: String { map { "'\($0)'" }.joined(separator: ", ") }
}
