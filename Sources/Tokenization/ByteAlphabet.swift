// Byte-level BPE's alphabet (GPT-2, `bytes_to_unicode`): each byte is written as one printable
// character, so that vocabularies can be kept as text.

enum ByteAlphabet {
    /// The character that stands for each byte.
    static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (0..<256).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
                return UInt32(byte)
            default:
                defer { next += 1 }
                return next
            }
        }
    }()

    /// The byte that each character up to U+0143 stands for, or nil.
    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
        return bytes
    }()

    /// Appends the text that stands for `byte`, in UTF-8.
    static func append(_ byte: UInt8, to text: inout [UInt8]) {
        ScalarText.appendUTF8(scalars[Int(byte)], to: &text)
    }

    /// Appends the bytes that `text` stands for. Characters outside the alphabet, which proper
    /// vocabularies do not have, stay as they are.
    static func appendDecoded(_ text: ArraySlice<UInt8>, to output: inout [UInt8]) {
        var index = text.startIndex
        while index < text.endIndex {
            let lead = text[index]
            // The alphabet's characters have one or two bytes.
            if lead < 0x80 {
                output.append(bytes[Int(lead)] ?? lead)
                index += 1
                continue
            }
            if lead & 0xE0 == 0xC0, index + 1 < text.endIndex, text[index + 1] & 0xC0 == 0x80 {
                let scalar = Int(lead & 0x1F) << 6 | Int(text[index + 1] & 0x3F)
                if scalar < bytes.count, let byte = bytes[scalar] {
                    output.append(byte)
                    index += 2
                    continue
                }
            }
            output.append(lead)
            index += 1
        }
    }
}
