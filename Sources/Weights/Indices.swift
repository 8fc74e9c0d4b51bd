// Numbers of different spaces that meet in the same code, as types that cannot be mixed up. Where
// one space is alone, an Int does. Inlinable: conversions stand in loops over neurons of other
// targets.

/// A number within one space.
package protocol IndexSpace: RawRepresentable, Hashable, Comparable, Sendable,
    ExpressibleByIntegerLiteral
where RawValue: FixedWidthInteger & SignedInteger, IntegerLiteralType == Int {
    init(rawValue: RawValue)
}

extension IndexSpace {
    /// - Precondition: `number` fits the space.
    @inlinable package init(_ number: some BinaryInteger) { self.init(rawValue: RawValue(number)) }
    @inlinable package init(integerLiteral number: Int) { self.init(rawValue: RawValue(number)) }
    /// For arrays and addresses.
    @inlinable package var index: Int { Int(rawValue) }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// An extent of dense weights, by its place in ``WeightPlan/units``.
package struct UnitIndex: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
}

/// An entry of the dense ring: entries are counted from the first one on, and never reused.
package struct EntryNumber: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
}

/// A place for one bundle that is read: of the expert cache, or for what is fetched of neurons.
package struct SlotIndex: IndexSpace {
    package let rawValue: Int
    @inlinable package init(rawValue: Int) { self.rawValue = rawValue }
}

/// A neuron of a layer, by the number that the model gives it.
package struct NeuronID: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
}

/// Where in the file's order a neuron of a layer is.
package struct NeuronPlace: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
}

/// A bundle of a layer's neurons, in the file's order.
package struct BundleIndex: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
}

/// Memory for one neuron's record, of those that all layers share.
package struct RowIndex: IndexSpace {
    package let rawValue: Int32
    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
}
