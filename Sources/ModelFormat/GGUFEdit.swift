// A GGUF file as if it said something else: what repairs of files with other names and missing keys
// are made of. Nothing is written.

/// Changes of names and values.
package struct GGUFEdit {
    /// A value that the file lacks or has wrong.
    package enum Value: Sendable, Equatable {
        case integer(Int)
        case text(String)
    }

    /// By its key: another key, or the same.
    package var keyName: (String) -> String = { $0 }
    /// By its name: another name; nil leaves the tensor out.
    package var tensorName: (String) -> String? = { $0 }
    package var values: [String: Value] = [:]

    package init() {}
}

extension GGUFFile {
    /// The file with those changes. What has a new name already keeps it.
    ///
    /// - Throws: `FormatError` when two tensors come to one name.
    package func edited(_ edit: GGUFEdit) throws(FormatError) -> GGUFFile {
        let edited = tensors.compactMap { tensor in
            edit.tensorName(tensor.name).map { name in
                self.tensor(named: name) == nil ? tensor.named(name) : tensor
            }
        }
        return try with(metadata: metadata.edited(edit), tensors: edited)
    }
}

extension GGUFTensor {
    fileprivate func named(_ name: String) -> GGUFTensor {
        GGUFTensor(
            name: name, type: type, dimensions: dimensions, part: part, offset: offset,
            byteCount: byteCount)
    }
}

extension GGUFMetadata {
    fileprivate func edited(_ edit: GGUFEdit) -> GGUFMetadata {
        var list: [Entry] = []
        for entry in entries where edit.values[entry.key] == nil {
            let name = edit.keyName(entry.key)
            guard name == entry.key || self.entry(name) == nil else { continue }
            list.append(
                Entry(
                    key: name, type: entry.type, elementType: entry.elementType,
                    count: entry.count, bits: entry.bits, payload: entry.payload))
        }
        var texts: [String: String] = [:]
        for (key, value) in edit.values.sorted(by: { $0.key < $1.key }) {
            let bits: UInt64
            switch value {
            case .integer(let number): bits = UInt64(bitPattern: Int64(number))
            case .text(let text):
                texts[key] = text
                bits = 0
            }
            list.append(
                Entry(
                    key: key, type: texts[key] == nil ? .int64 : .string, elementType: nil,
                    count: 1, bits: bits, payload: 0..<0))
        }
        return GGUFMetadata(source: source, entries: list, texts: texts)
    }
}
