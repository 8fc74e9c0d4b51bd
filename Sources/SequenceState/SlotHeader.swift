// The header blocks of the prefix file, 4 KiB each: one at its beginning, one before each slot's
// pages. Each says all that it takes to believe what follows it, and carries its own checksum.
//
// Little endian: "SLUICEKV"; version, kind (0 the file's, 1 a slot's); digest of the model (32
// bytes); bytes of a page (64 bits), layers (32 bits); KV format (its length in 32 bits, 32 bytes
// with zeros at the end). A slot's goes on: kind of owner, uid; stamp (64 bits); digests of the
// parent and of the block; checksum of the payload; 64 tokens (32 bits each); a bit for each layer
// that has a page, the first layer's lowest. Zeros. The last four bytes are the CRC-32C of all
// before.

internal import FlashStorage
internal import LinuxSystem
internal import ModelFormat

/// What a prefix file belongs to. Blocks of one are nothing to another.
package struct PrefixFileIdentity: Sendable, Hashable {
    package static let layersMax = 4096
    package static let formatBytesMax = 32

    package let modelDigest: Digest256
    /// How keys and values are kept, and whatever else their bits depend on.
    package let kvFormat: String
    /// Of one layer's keys and values of a block.
    package let pageBytes: Int
    package let layerCount: Int

    /// - Precondition: at most ``layersMax`` layers and ``formatBytesMax`` bytes of a format.
    package init(modelDigest: Digest256, kvFormat: String, pageBytes: Int, layerCount: Int) {
        precondition(layerCount > 0 && layerCount <= Self.layersMax && pageBytes > 0)
        precondition(kvFormat.utf8.count <= Self.formatBytesMax, "a format has a short name")
        self.modelDigest = modelDigest
        self.kvFormat = kvFormat
        self.pageBytes = pageBytes
        self.layerCount = layerCount
    }

    /// That of a model whose cache is laid out like this.
    package init(_ layout: KVLayout, modelDigest: Digest256) {
        self.init(
            modelDigest: modelDigest, kvFormat: "\(layout.format)", pageBytes: layout.pageBytesUsed,
            layerCount: layout.ringPages.count)
    }

    /// A header and all layers' pages.
    package var slotBytes: Int { SlotHeader.byteCount + payloadBytes(pages: layerCount) }

    /// In whole blocks of 4 KiB.
    func payloadBytes(pages: Int) -> Int { (pages * pageBytes + 4095) / 4096 * 4096 }
}

/// A set of layers, in a bit each.
struct LayerSet: Sendable, Equatable {
    private(set) var bits: [UInt8]

    init(layerCount: Int) { bits = Array(repeating: 0, count: (layerCount + 7) / 8) }
    init(bits: some Sequence<UInt8>) { self.bits = Array(bits) }

    func contains(_ layer: Int) -> Bool { bits[layer / 8] >> UInt8(layer % 8) & 1 == 1 }
    mutating func insert(_ layer: Int) { bits[layer / 8] |= 1 << UInt8(layer % 8) }
    var count: Int { bits.reduce(0) { $0 + $1.nonzeroBitCount } }
}

/// What is known of a slot's pages.
struct SlotHeader: Sendable, Equatable {
    static let byteCount = 4096
    private static let magic = Array("SLUICEKV".utf8)
    private static let version: UInt32 = 1

    var block: PrefixBlock
    var stamp: UInt64
    var layers: LayerSet
    var payloadChecksum: UInt32

    // MARK: writing

    func encode(_ identity: PrefixFileIdentity) -> [UInt8] {
        var writer = Self.begin(kind: 1, identity)
        let (ownerKind, uid) = block.owner.words
        writer.add(ownerKind)
        writer.add(uid)
        writer.add(stamp)
        writer.add(block.parent)
        writer.add(block.digest)
        writer.add(payloadChecksum)
        for token in block.tokens { writer.add(UInt32(bitPattern: token.rawValue)) }
        writer.bytes += layers.bits
        return Self.end(writer)
    }

    static func encodeFile(_ identity: PrefixFileIdentity) -> [UInt8] {
        end(begin(kind: 0, identity))
    }

    private static func begin(kind: UInt32, _ identity: PrefixFileIdentity) -> ByteWriter {
        var writer = ByteWriter()
        writer.bytes += magic
        writer.add(version)
        writer.add(kind)
        writer.add(identity.modelDigest)
        writer.add(UInt64(identity.pageBytes))
        writer.add(UInt32(identity.layerCount))
        writer.add(UInt32(identity.kvFormat.utf8.count))
        writer.bytes += identity.kvFormat.utf8
        let left = PrefixFileIdentity.formatBytesMax - identity.kvFormat.utf8.count
        writer.bytes += repeatElement(0, count: left)
        return writer
    }

    private static func end(_ writer: ByteWriter) -> [UInt8] {
        var writer = writer
        writer.bytes += repeatElement(0, count: byteCount - 4 - writer.bytes.count)
        writer.addChecksum()
        return writer.bytes
    }

    // MARK: reading

    /// Whether a file that begins so is a prefix file at all, whatever else it is.
    static func isPrefixFile(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

    /// - Throws: `FormatError` when a file that begins so is damaged, of another version, or
    ///   belongs to another model, format or shape.
    static func checkFile(
        _ bytes: [UInt8], _ identity: PrefixFileIdentity, file: String
    ) throws(FormatError) {
        var reader = ByteReader(bytes, file: file)
        try begin(&reader, kind: 0, identity)
    }

    /// - Throws: `FormatError` when the block is no valid header of this identity.
    init(_ bytes: [UInt8], _ identity: PrefixFileIdentity, file: String) throws(FormatError) {
        var reader = ByteReader(bytes, file: file)
        try Self.begin(&reader, kind: 1, identity)
        let owner = PrefixOwner(kind: try reader.word(), uid: try reader.word())
        guard let owner else { throw reader.error("an owner", found: "something else") }
        stamp = try reader.number64()
        let parent = try reader.digest()
        let digest = try reader.digest()
        payloadChecksum = try reader.word()
        var tokens: [TokenID] = []
        for _ in 0..<PrefixBlock.tokenCount {
            tokens.append(TokenID(rawValue: Int32(bitPattern: try reader.word())))
        }
        layers = LayerSet(bits: try reader.take((identity.layerCount + 7) / 8))
        let all = LayerSet(layerCount: identity.layerCount).bits.count * 8
        for layer in identity.layerCount..<all where layers.contains(layer) {
            throw reader.error("\(identity.layerCount) layers", found: "more")
        }
        block = PrefixBlock(tokens: tokens, owner: owner, parent: parent)
        guard block.digest == digest else {
            throw reader.error("digest \(digest)", found: "\(block.digest)")
        }
    }

    init(block: PrefixBlock, stamp: UInt64, layers: LayerSet, payloadChecksum: UInt32) {
        self.block = block
        self.stamp = stamp
        self.layers = layers
        self.payloadChecksum = payloadChecksum
    }

    private static func begin(
        _ reader: inout ByteReader, kind: UInt32, _ identity: PrefixFileIdentity
    ) throws(FormatError) {
        try reader.checkSum()
        guard try reader.take(8).elementsEqual(magic) else {
            throw reader.error("a header", found: "something else")
        }
        let found = try reader.word()
        guard found == version else {
            throw reader.error("version \(version)", found: "\(found)")
        }
        guard try reader.word() == kind else {
            throw reader.error("kind \(kind)", found: "another")
        }
        let digest = try reader.digest()
        guard digest == identity.modelDigest else {
            throw reader.error("prefixes of this model", found: "another model's")
        }
        let pageBytes = try reader.number64()
        let layerCount = try reader.word()
        guard pageBytes == identity.pageBytes, layerCount == identity.layerCount else {
            throw reader.error(
                "\(identity.layerCount) pages of \(identity.pageBytes) bytes",
                found: "\(layerCount) of \(pageBytes)")
        }
        let count = try reader.number(
            in: 0...UInt32(PrefixFileIdentity.formatBytesMax), "bytes of a KV format")
        let name = String(
            decoding: try reader.take(PrefixFileIdentity.formatBytesMax).prefix(count),
            as: UTF8.self)
        guard name == identity.kvFormat else {
            throw reader.error("KV format \(identity.kvFormat)", found: name)
        }
    }
}

extension ByteWriter {
    mutating func add(_ digest: Digest256) {
        for index in 0..<8 { add(digest.words[index].byteSwapped) }
    }
}

extension ByteReader {
    mutating func digest() throws(FormatError) -> Digest256 {
        var words: InlineArray<8, UInt32> = InlineArray(repeating: 0)
        for index in 0..<8 { words[index] = try word().byteSwapped }
        return Digest256(words: words)
    }
}
