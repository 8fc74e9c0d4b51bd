/// A token's index in its model's vocabulary.
package struct TokenID: RawRepresentable, Hashable, Comparable, Sendable, Codable {
    package let rawValue: Int32

    package init(rawValue: Int32) { self.rawValue = rawValue }
    package init(_ index: Int) { self.rawValue = Int32(index) }

    /// The token as an array index.
    package var index: Int { Int(rawValue) }

    package static func < (left: TokenID, right: TokenID) -> Bool { left.rawValue < right.rawValue }
}
