// What knobs may be: kinds of values with their ranges, how a profile writes them, and the words
// for both. The words follow "expected" in a profile's complaint and "is" in an option's.

internal import GenerationAPI
internal import ModelFormat

/// What values of one type a knob may have.
struct KnobForm<Value: Equatable & Sendable>: Sendable {
    /// The kind, such as "a whole number", where the range does not imply it; may be empty.
    let kind: String
    /// What of its kind it may be, such as "between 1 and 64".
    let range: String
    /// What stands for it in an option's usage.
    let placeholder: String
    /// What else a refusal says than that something was expected.
    var refusal: String?
    /// Nil for what is out of range or of another kind.
    let read: @Sendable (ConfigurationDocument.Value) -> Value?
    let write: @Sendable (Value) -> ConfigurationDocument.Value

    var expectation: String { kind.isEmpty ? range : "\(kind) \(range)" }
    var optionExpectation: String { range.filter { $0 != "\"" } }

    /// Takes `value` over; false, and no change, when it cannot be one.
    func set(
        _ value: ConfigurationDocument.Value, in profile: inout Profile,
        _ target: any WritableKeyPath<Profile, Value> & Sendable
    ) -> Bool {
        guard let value = read(value) else { return false }
        profile[keyPath: target] = value
        return true
    }

    /// The same, or a word for nil.
    private func or(_ word: String) -> KnobForm<Value?> {
        KnobForm<Value?>(
            kind: kind, range: "\(range), or \"\(word)\"", placeholder: "\(word)|\(placeholder)",
            read: { $0 == .string(word) ? .some(nil) : read($0).map(Optional.some) },
            write: { $0.map(write) ?? .string(word) })
    }

    /// The same, or `"auto"` for nil.
    var orAuto: KnobForm<Value?> { or("auto") }
    /// The same, or `"off"` for nil.
    var orOff: KnobForm<Value?> { or("off") }
    /// The same, or `"all"` for nil.
    var orAll: KnobForm<Value?> { or("all") }
    /// The same, and never nil.
    var given: KnobForm<Value?> {
        KnobForm<Value?>(
            kind: kind, range: range, placeholder: placeholder,
            read: { read($0).map(Optional.some) }, write: { $0.map(write) ?? .string("") })
    }
}

/// The forms that there are.
enum Form {
    /// `one or other`; `one, other or third`.
    private static func list(_ words: [String]) -> String {
        let first = words.dropLast().joined(separator: ", ")
        return first.isEmpty ? words.joined() : "\(first) or \(words[words.count - 1])"
    }

    static func integer(_ range: ClosedRange<Int>) -> KnobForm<Int> {
        let words =
            range.upperBound == .max
            ? "\(range.lowerBound) or more" : "between \(range.lowerBound) and \(range.upperBound)"
        return KnobForm(
            kind: range.upperBound == .max ? "a whole number," : "a whole number", range: words,
            placeholder: "n",
            read: {
                guard case .integer(let integer) = $0, let value = Int(exactly: integer) else {
                    return nil
                }
                return range.contains(value) ? value : nil
            },
            write: { .integer(Int64($0)) })
    }

    private static func number(_ value: ConfigurationDocument.Value) -> Float? {
        switch value {
        case .integer(let integer): Float(integer)
        case .number(let number): Float(number)
        default: nil
        }
    }

    static func number(_ range: ClosedRange<Float>) -> KnobForm<Float> {
        KnobForm(
            kind: "a number", range: SamplingParameters.requirement(range), placeholder: "number",
            read: { number($0).flatMap { range.contains($0) ? $0 : nil } },
            write: { .number(Double("\($0)") ?? Double($0)) })
    }

    /// A part of something: not nothing, and not all.
    static let share = KnobForm<Float>(
        kind: "a number", range: "between 0 and 1, neither of them", placeholder: "share",
        read: { number($0).flatMap { $0 > 0 && $0 < 1 ? $0 : nil } },
        write: { .number(Double("\($0)") ?? Double($0)) })

    private static func size(
        _ range: String, _ isValid: @escaping @Sendable (UInt64) -> Bool
    ) -> KnobForm<UInt64> {
        KnobForm(
            kind: "", range: range, placeholder: "size",
            read: {
                guard case .string(let text) = $0, let bytes = ByteSize.parse(text) else {
                    return nil
                }
                return isValid(bytes) ? bytes : nil
            },
            write: { .string("\($0)") })
    }

    private static let sizeExample = "a size such as \"1536M\" or \"1.5G\""

    /// Whatever a size says.
    static let size = size(sizeExample) { _ in true }

    static func size(
        _ range: ClosedRange<UInt64>, multipleOf unit: UInt64 = 1
    ) -> KnobForm<UInt64> {
        let (least, most) = (ByteSize.format(range.lowerBound), ByteSize.format(range.upperBound))
        let steps = unit > 1 ? ", a multiple of \(ByteSize.format(unit))" : ""
        let example = range.upperBound < 1 << 30 ? "a size such as \"64K\"" : sizeExample
        return size("\(example), \(least) to \(most)\(steps)") {
            range.contains($0) && $0 % unit == 0
        }
    }

    static func size(of choices: [UInt64]) -> KnobForm<UInt64> {
        size(list(choices.map { "\"\(ByteSize.format($0))\"" })) { choices.contains($0) }
    }

    /// One of some names.
    static func choice<Choice>(_ type: Choice.Type) -> KnobForm<Choice>
    where
        Choice: RawRepresentable & CaseIterable & Equatable & Sendable, Choice.RawValue == String
    {
        let names = Choice.allCases.map(\.rawValue)
        return KnobForm(
            kind: "", range: list(names.map { "\"\($0)\"" }),
            placeholder: names.joined(separator: "|"),
            read: {
                guard case .string(let text) = $0 else { return nil }
                return Choice(rawValue: text)
            },
            write: { .string($0.rawValue) })
    }

    /// A string; an empty one is nil.
    static func text(_ what: String, placeholder: String) -> KnobForm<String?> {
        KnobForm(
            kind: "", range: what, placeholder: placeholder,
            read: {
                guard case .string(let text) = $0, !text.contains("\0") else { return nil }
                return .some(text.isEmpty ? nil : text)
            },
            write: { .string($0 ?? "") })
    }

    /// The name of a model of the library; an empty one is nil.
    static let modelName = KnobForm<String?>(
        kind: "", range: "a model's name", placeholder: "name",
        refusal: "cannot be a model's name: \(ModelName.rule)",
        read: {
            guard case .string(let text) = $0 else { return nil }
            guard !text.isEmpty else { return .some(nil) }
            guard ModelName.isValid(text) else { return nil }
            return .some(text)
        },
        write: { .string($0 ?? "") })

    /// A file mode in octal, as a string: TOML has no such number with a leading zero.
    static let mode = KnobForm<UInt32>(
        kind: "", range: "a mode such as \"0660\"", placeholder: "mode",
        read: {
            guard case .string(let text) = $0, let mode = UInt32(text, radix: 8), mode <= 0o777
            else { return nil }
            return mode
        },
        write: { .string("0" + String($0, radix: 8)) })

    /// Bits of keys and values, a number where they are alike.
    static let keyValueFormat = KnobForm<KVFormat>(
        kind: "", range: KVFormat.choices, placeholder: "bits",
        read: {
            switch $0 {
            case .integer(let bits): KVFormat("\(bits)")
            case .string(let text): KVFormat(text)
            default: nil
            }
        },
        write: {
            $0.keys == $0.values ? .integer(Int64($0.keys.rawValue)) : .string("\($0)")
        })

    /// `"auto"`, `"off"`, or a number of drafts.
    static let speculation = KnobForm<SpeculationPolicy>(
        kind: "a whole number",
        range: "between 1 and \(SpeculationPolicy.draftsMax), \"auto\" or \"off\"",
        placeholder: "auto|off|n",
        read: {
            switch $0 {
            case .integer(let count): SpeculationPolicy("\(count)")
            case .string(let text): Int(text) == nil ? SpeculationPolicy(text) : nil
            default: nil
            }
        },
        write: {
            switch $0 {
            case .off: .string("off")
            case .automatic: .string("auto")
            case .upTo(let count): .integer(Int64(count))
            }
        })
}
