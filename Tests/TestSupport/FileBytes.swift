// Whole files for tests.

import ModelFormat

/// A whole file's bytes, or nil where there is no such file.
package func fileBytes(_ path: String) -> [UInt8]? {
    guard let source = try? FileByteSource(path: path) else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(source.byteCount))
    do {
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try source.read(at: 0, into: &raw)
    } catch {
        return nil
    }
    return bytes
}
