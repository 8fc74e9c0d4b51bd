// Shared libraries that a program needs for some of its work only, opened when that begins: what
// they cost in memory and at start is paid by nobody else.

internal import Glibc

/// A shared library (dlopen(3)) that stays open for the rest of the process.
@safe
package struct DynamicLibrary: @unchecked Sendable {
    private let handle: UnsafeMutableRawPointer
    package let name: String

    /// Opens the first of `names` that the system's linker finds.
    ///
    /// - Throws: `DynamicLibraryError` when it finds none.
    package init(names: [String]) throws(DynamicLibraryError) {
        for name in names {
            guard let handle = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL) else { continue }
            unsafe self.handle = handle
            self.name = name
            return
        }
        throw DynamicLibraryError(missing: names.first ?? "a library")
    }

    /// A function of the library; the caller knows its type.
    package func function<Function>(
        _ symbol: String, as type: Function.Type
    ) throws(DynamicLibraryError) -> Function {
        guard let address = unsafe dlsym(handle, symbol) else {
            throw DynamicLibraryError(missing: "\(symbol) in \(name)")
        }
        return unsafe unsafeBitCast(address, to: type)
    }
}

/// A library or one of its functions is not there.
package struct DynamicLibraryError: Error, Sendable, Equatable, CustomStringConvertible {
    package let missing: String

    package var description: String { "\(missing) was not found" }
}
