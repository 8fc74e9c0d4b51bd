// Numbers of different spaces that meet in the same code, as types that cannot be mixed up. Where
// one space is alone, an Int does. Members are concrete: those that a protocol gave, for any kind
// of integer, were called through witnesses in loops over neurons, for a third of their time.

/// A number within one space.
///
/// `Space` only names it.
package struct WideIndex<Space>: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
    package let index: Int

    @inlinable package init(_ number: Int) { index = number }
    @inlinable package init(integerLiteral number: Int) { index = number }

    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.index == right.index
    }
    @inlinable package static func < (left: Self, right: Self) -> Bool { left.index < right.index }
}

/// The same in half the memory, for spaces whose numbers are kept in long lists.
package struct NarrowIndex<Space>: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
    package let rawValue: Int32

    @inlinable package init(rawValue: Int32) { self.rawValue = rawValue }
    /// - Precondition: `number` fits 32 bits.
    @inlinable package init(_ number: Int) { rawValue = Int32(number) }
    @inlinable package init(_ number: UInt32) { rawValue = Int32(number) }
    @inlinable package init(integerLiteral number: Int) { rawValue = Int32(number) }

    /// For arrays and addresses.
    @inlinable package var index: Int { Int(rawValue) }

    @inlinable package static func == (left: Self, right: Self) -> Bool {
        left.rawValue == right.rawValue
    }
    @inlinable package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
}

package enum IndexSpace {
    package enum Units {}
    package enum Entries {}
    package enum Slots {}
    package enum Neurons {}
    package enum Places {}
    package enum Bundles {}
    package enum Rows {}
}

/// An extent of dense weights, by its place in ``WeightPlan/units``.
package typealias UnitIndex = WideIndex<IndexSpace.Units>
/// An entry of the dense ring: entries are counted from the first one on, and never reused.
package typealias EntryNumber = WideIndex<IndexSpace.Entries>
/// A place for one bundle that is read: of the expert cache, or for what is fetched of neurons.
package typealias SlotIndex = WideIndex<IndexSpace.Slots>

/// A neuron of a layer, by the number that the model gives it.
package typealias NeuronID = NarrowIndex<IndexSpace.Neurons>
/// Where in the file's order a neuron of a layer is.
package typealias NeuronPlace = NarrowIndex<IndexSpace.Places>
/// A bundle of a layer's neurons, in the file's order.
package typealias BundleIndex = NarrowIndex<IndexSpace.Bundles>
/// Memory for one neuron's record, of those that all layers share.
package typealias RowIndex = NarrowIndex<IndexSpace.Rows>
