// Numbers of different spaces that meet in the same code, as types that cannot be mixed up. Where
// one space is alone, an Int does. Each type has members of its own: those of a protocol's
// extension were called through witnesses in loops over neurons, for a third of their time.

/// A number within one space.
package protocol IndexSpace: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral
where IntegerLiteralType == Int {
    /// - Precondition: `number` fits the space.
    init(_ number: Int)
    /// For arrays and addresses.
    var index: Int { get }
}

/// An extent of dense weights, by its place in ``WeightPlan/units``.
package struct UnitIndex: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = number }
    @inlinable package init(integerLiteral number: Int) { rawValue = number }
    @inlinable package var index: Int { rawValue }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// An entry of the dense ring: entries are counted from the first one on, and never reused.
package struct EntryNumber: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = number }
    @inlinable package init(integerLiteral number: Int) { rawValue = number }
    @inlinable package var index: Int { rawValue }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// A place for one bundle that is read: of the expert cache, or for what is fetched of neurons.
package struct SlotIndex: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = number }
    @inlinable package init(integerLiteral number: Int) { rawValue = number }
    @inlinable package var index: Int { rawValue }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// A neuron of a layer, by the number that the model gives it.
package struct NeuronID: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = Int32(number) }
    @inlinable package init(_ number: Int32) { rawValue = number }
    @inlinable package init(_ number: UInt32) { rawValue = Int32(number) }
    @inlinable package init(integerLiteral number: Int) { rawValue = Int32(number) }
    @inlinable package var index: Int { Int(rawValue) }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// Where in the file's order a neuron of a layer is.
package struct NeuronPlace: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = Int32(number) }
    @inlinable package init(_ number: Int32) { rawValue = number }
    @inlinable package init(_ number: UInt32) { rawValue = Int32(number) }
    @inlinable package init(integerLiteral number: Int) { rawValue = Int32(number) }
    @inlinable package var index: Int { Int(rawValue) }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// A bundle of a layer's neurons, in the file's order.
package struct BundleIndex: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = Int32(number) }
    @inlinable package init(_ number: Int32) { rawValue = number }
    @inlinable package init(_ number: UInt32) { rawValue = Int32(number) }
    @inlinable package init(integerLiteral number: Int) { rawValue = Int32(number) }
    @inlinable package var index: Int { Int(rawValue) }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}

/// Memory for one neuron's record, of those that all layers share.
package struct RowIndex: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
    @inlinable package init(_ number: Int) { rawValue = Int32(number) }
    @inlinable package init(_ number: Int32) { rawValue = number }
    @inlinable package init(_ number: UInt32) { rawValue = Int32(number) }
    @inlinable package init(integerLiteral number: Int) { rawValue = Int32(number) }
    @inlinable package var index: Int { Int(rawValue) }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
}
