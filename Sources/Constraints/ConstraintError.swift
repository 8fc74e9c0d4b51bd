// Why a grammar or a schema cannot hold for an answer.

/// What is wrong with a grammar or a schema, and where.
package enum ConstraintError: Error, Equatable, Sendable, CustomStringConvertible {
    /// GBNF that cannot be read.
    case grammar(line: Int, problem: String)
    /// A rule that cannot be used: by its name, or a schema's pointer.
    case rule(name: String, problem: String)
    /// A schema that cannot be honoured: `pointer` is JSON's (RFC 6901), empty for the whole.
    case schema(pointer: String, problem: String)
    /// More than there is room for.
    case tooLarge(String)

    package var description: String {
        switch self {
        case .grammar(let line, let problem): "line \(line): \(problem)"
        case .rule(let name, let problem): "\(name): \(problem)"
        case .schema(let pointer, let problem): "#\(pointer): \(problem)"
        case .tooLarge(let problem): problem
        }
    }
}
