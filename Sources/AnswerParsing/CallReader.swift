// A call, from its beginning's marker to its end: one reader for each way of writing calls. Nothing
// is given out before a call is certain; from then on its arguments are, as they come.

/// A reader of one of the ways.
enum CallReader: Sendable {
    case json(JSONCallReader)
    case named(NamedCallReader)
    case tagged(TaggedCallReader)
    case whole(WholeCallReader)
    /// While a step is made: what a reader keeps is in one place, and is not copied by each step.
    case stepping

    mutating func step(_ input: inout AnswerInput, _ output: inout AnswerOutput) -> CallStep {
        let current = self
        self = .stepping
        switch consume current {
        case .json(var reader):
            defer { self = .json(reader) }
            return reader.step(&input, &output)
        case .named(var reader):
            defer { self = .named(reader) }
            return reader.step(&input, &output)
        case .tagged(var reader):
            defer { self = .tagged(reader) }
            return reader.step(&input, &output)
        case .whole(var reader):
            defer { self = .whole(reader) }
            return reader.step(&input, &output)
        case .stepping: return .ended
        }
    }

    /// Whether a call has begun, and not ended.
    var isOpen: Bool {
        switch self {
        case .json(let reader): reader.isOpen
        case .named(let reader): reader.isOpen
        case .tagged(let reader): reader.isOpen
        case .whole, .stepping: false
        }
    }

    /// Whether what is not finished at the answer's end is text, not half a call.
    var isTextUnlessFinished: Bool {
        switch self {
        case .json(let reader): reader.isBare
        case .whole(let reader): reader.isTextUnlessFinished
        case .named, .tagged, .stepping: false
        }
    }
}
