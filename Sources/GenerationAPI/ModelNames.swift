// What requests call models, and what is said about a name that none has.

extension ModelSummary {
    /// The names in a library that `name` may stand for, best first: clients of other servers add
    /// `:latest` to the names of models.
    package static func names(for name: String) -> [String] {
        let tag = ":latest"
        guard name.hasSuffix(tag), name.utf8.count > tag.utf8.count else { return [name] }
        return [name, String(name.dropLast(tag.count))]
    }
}

extension GenerationError {
    /// Models that a message lists by name.
    private static let namesListedMax = 5
    /// Of a name that a client made up, what is repeated.
    private static let nameCharactersMax = 80

    /// There is no model of that name among `models`; nil is no name, where there is not just one.
    package static func unknownModel(_ name: String?, among models: [String]) -> GenerationError {
        let problem =
            name.map { name in
                let isLong = name.count > nameCharactersMax
                return "no model '\(name.prefix(nameCharactersMax))\(isLong ? "..." : "")'"
            } ?? "name a model"
        return GenerationError(
            .modelNotFound, "\(problem); \(listed(models))", parameter: "model")
    }

    /// Some of `models` in words.
    package static func listed(_ models: [String]) -> String {
        guard let first = models.first else { return "the library is empty: import one first" }
        guard models.count > 1 else { return "there is '\(first)'" }
        let shown = models.prefix(namesListedMax).map { "'\($0)'" }.joined(separator: ", ")
        let rest = models.count - namesListedMax
        return "there are \(shown)" + (rest > 0 ? " and \(rest) more" : "")
    }
}
