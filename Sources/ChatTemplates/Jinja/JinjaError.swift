// Why a template cannot be rendered, and where.

/// A template that cannot be read or rendered, with the place in it.
package struct JinjaError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// The text is no template.
        case syntax
        /// The template itself refuses what it was given, by `raise_exception`.
        case raised
        /// An operation on values that do not have it.
        case failed
        /// More steps, depth or bytes than ``JinjaLimits`` allows.
        case limit
        /// A text longer than ``JinjaLimits/outputBytesMax``.
        case output
        /// The caller no longer wants the text.
        case cancelled
    }

    package let kind: Kind
    package let problem: String
    /// From 1, of the template's text; columns count characters.
    package let line: Int
    package let column: Int

    package var description: String {
        "chat template, line \(line), column \(column): \(problem)"
    }

    /// - Parameters:
    ///   - offset: the place, in bytes of `source`.
    init(_ fault: JinjaFault, at offset: Int, in source: [UInt8]) {
        kind = fault.kind
        problem = fault.problem
        let before = source.prefix(max(0, offset))
        line = 1 + before.count { $0 == 0x0A }
        let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        column = 1 + before[start...].count { $0 & 0xC0 != 0x80 }
    }
}

/// What went wrong, before anybody has said where.
struct JinjaFault: Error {
    let kind: JinjaError.Kind
    let problem: String

    init(_ kind: JinjaError.Kind, _ problem: String) {
        self.kind = kind
        self.problem = problem
    }

    static func failed(_ problem: String) -> JinjaFault { JinjaFault(.failed, problem) }
}

/// What rendering may take. Templates come with model files, which nobody has read.
package struct JinjaLimits: Sendable {
    /// Bytes of a template's text.
    package static let templateBytesMax = 1 << 20
    /// Nesting of expressions, of blocks, and of calls of macros.
    package static let depthMax = 100
    /// Nesting of values.
    static let valueDepthMax = 100

    /// Expressions that are evaluated, and elements that are looked at.
    package var stepsMax: Int
    /// Bytes of all texts and lists that are made on the way, whether or not they stay.
    package var workBytesMax: Int
    /// Bytes of the rendered text.
    package var outputBytesMax: Int

    /// Enough for what the templates of known models do with `inputBytes` of messages and tools.
    package init(inputBytes: Int, outputBytesMax: Int = .max) {
        stepsMax = 4_000_000 + 16 * min(inputBytes, 1 << 40)
        workBytesMax = (32 << 20) + 64 * min(inputBytes, 1 << 40)
        self.outputBytesMax = outputBytesMax
    }

    package init(stepsMax: Int, workBytesMax: Int, outputBytesMax: Int) {
        self.stepsMax = stepsMax
        self.workBytesMax = workBytesMax
        self.outputBytesMax = outputBytesMax
    }
}
