// `Encodable` types as JSON values.

extension JSONValue {
    /// `value` as JSON.
    ///
    /// - Parameter namesAreSnakeCase: turns `bytesPerSecond` into `bytes_per_second`; keys of
    ///   dictionaries, and what is below them, stay as they are.
    /// - Throws: `EncodingError` for numbers that JSON has not (infinite, not a number), or what
    ///   the value's own encoding throws.
    package init(encoding value: some Encodable, namesAreSnakeCase: Bool = false) throws {
        let encoder = ValueEncoder(
            place: ValueEncoder.Place(), codingPath: [], namesAreSnakeCase: namesAreSnakeCase)
        try encoder.encode(value)
        self = encoder.place.value
    }
}

/// Dictionaries whose keys are data, not names.
private protocol StringDictionary {}

extension Dictionary: StringDictionary where Key == String, Value: Encodable {}

/// Encodes into one place of the tree.
private struct ValueEncoder: Encoder, SingleValueEncodingContainer {
    /// A value that is being made; containers share it.
    final class Place {
        enum Content {
            case value(JSONValue)
            case array([Place])
            case object([String: Place])
        }

        var content = Content.object([:])

        var value: JSONValue {
            switch content {
            case .value(let value): value
            case .array(let places): .array(places.map(\.value))
            case .object(let places): .object(places.mapValues(\.value))
            }
        }

        func element() -> Place {
            let place = Place()
            guard case .array(var places) = content else { return place }
            // Nobody else may hold the array while it grows.
            content = .array([])
            places.append(place)
            content = .array(places)
            return place
        }

        func member(_ name: String) -> Place {
            guard case .object(var places) = content else { return Place() }
            content = .object([:])
            let place = places[name] ?? Place()
            places[name] = place
            content = .object(places)
            return place
        }
    }

    let place: Place
    let codingPath: [any CodingKey]
    let namesAreSnakeCase: Bool

    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .object = place.content {} else { place.content = .object([:]) }
        return KeyedEncodingContainer(ObjectEncoder(encoder: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .array = place.content {} else { place.content = .array([]) }
        return ArrayEncoder(encoder: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() { place.content = .value(.null) }
    func encode(_ value: Bool) { place.content = .value(.boolean(value)) }
    func encode(_ value: String) { place.content = .value(.string(value)) }

    func encode(_ value: Double) throws {
        guard value.isFinite else {
            throw EncodingError.invalidValue(
                value,
                EncodingError.Context(
                    codingPath: codingPath, debugDescription: "JSON has no number \(value)"))
        }
        place.content = .value(.number(value))
    }

    /// As the shortest digits that are this number: those of the same number as a double are twice
    /// as many.
    func encode(_ value: Float) throws { try encode(Double("\(value)") ?? .nan) }

    func encode(_ value: Int) { put(value) }
    func encode(_ value: Int8) { put(value) }
    func encode(_ value: Int16) { put(value) }
    func encode(_ value: Int32) { put(value) }
    func encode(_ value: Int64) { put(value) }
    func encode(_ value: UInt) { put(value) }
    func encode(_ value: UInt8) { put(value) }
    func encode(_ value: UInt16) { put(value) }
    func encode(_ value: UInt32) { put(value) }
    func encode(_ value: UInt64) { put(value) }

    func encode<Value: Encodable>(_ value: Value) throws {
        guard namesAreSnakeCase, value is any StringDictionary else {
            return try value.encode(to: self)
        }
        try value.encode(
            to: ValueEncoder(place: place, codingPath: codingPath, namesAreSnakeCase: false))
    }

    private func put(_ value: some FixedWidthInteger) {
        if let signed = Int64(exactly: value) {
            place.content = .value(.integer(signed))
        } else {
            place.content = .value(.unsigned(UInt64(truncatingIfNeeded: value)))
        }
    }

    func member(_ key: any CodingKey) -> ValueEncoder {
        let name = namesAreSnakeCase ? snakeCase(key.stringValue) : key.stringValue
        return ValueEncoder(
            place: place.member(name), codingPath: codingPath + [key],
            namesAreSnakeCase: namesAreSnakeCase)
    }

    func element(_ index: Int) -> ValueEncoder {
        ValueEncoder(
            place: place.element(), codingPath: codingPath + [PlaceKey(index)],
            namesAreSnakeCase: namesAreSnakeCase)
    }
}

private struct ObjectEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: ValueEncoder

    var codingPath: [any CodingKey] { encoder.codingPath }

    func encodeNil(forKey key: Key) { encoder.member(key).encodeNil() }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try encoder.member(key).encode(value)
    }

    func nestedContainer<Nested>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        encoder.member(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        encoder.member(key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoder.member(PlaceKey(stringValue: "super")) }

    func superEncoder(forKey key: Key) -> any Encoder { encoder.member(key) }
}

private struct ArrayEncoder: UnkeyedEncodingContainer {
    let encoder: ValueEncoder
    private(set) var count = 0

    init(encoder: ValueEncoder) { self.encoder = encoder }

    var codingPath: [any CodingKey] { encoder.codingPath }

    mutating func encodeNil() { next().encodeNil() }

    mutating func encode<Value: Encodable>(_ value: Value) throws { try next().encode(value) }

    mutating func nestedContainer<Nested>(
        keyedBy type: Nested.Type
    ) -> KeyedEncodingContainer<Nested> {
        next().container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        next().unkeyedContainer()
    }

    mutating func superEncoder() -> any Encoder { next() }

    private mutating func next() -> ValueEncoder {
        defer { count += 1 }
        return encoder.element(count)
    }
}

/// `bytesPerSecond` as `bytes_per_second`; digits belong to the word before them.
private func snakeCase(_ name: String) -> String {
    name.reduce(into: "") { text, character in
        if character.isUppercase, !text.isEmpty { text += "_" }
        text += character.lowercased()
    }
}
