// Dense linear algebra for calibration: OpenBLAS, opened when calibration begins, so that no other
// command loads it. Row-major matrices of floats; everything here is one thread's.

internal import LinuxSystem

/// A matrix in row-major order.
package struct Matrix {
    package let rows: Int
    package let columns: Int
    package var values: [Float]

    package init(rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == rows * columns, "a matrix is full")
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    init(rows: Int, columns: Int) {
        self.init(
            rows: rows, columns: columns, values: [Float](repeating: 0, count: rows * columns))
    }

    package subscript(row: Int, column: Int) -> Float {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    func row(_ index: Int) -> ArraySlice<Float> {
        values[index * columns..<(index + 1) * columns]
    }

    /// Multiplies each column by its factor.
    mutating func scaleColumns(_ factors: [Float]) {
        for row in 0..<rows {
            for column in 0..<columns { values[row * columns + column] *= factors[column] }
        }
    }
}

/// OpenBLAS's products and LAPACK's symmetric eigenvectors.
@safe
package struct LinearAlgebra {
    // Types of CBLAS and LAPACK (netlib.org); integers have 32 bits, Fortran's hidden lengths of
    // character arguments come last.
    private typealias SingleProduct =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32,
            UnsafePointer<Float>, Int32, Float, UnsafeMutablePointer<Float>, Int32
        ) -> Void
    private typealias Eigenvectors =
        @convention(c) (
            UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafePointer<Int32>,
            UnsafeMutablePointer<Float>, UnsafePointer<Int32>, UnsafeMutablePointer<Float>,
            UnsafeMutablePointer<Float>, UnsafePointer<Int32>, UnsafeMutablePointer<Int32>,
            UnsafePointer<Int32>, UnsafeMutablePointer<Int32>, Int, Int
        ) -> Void
    private typealias SetThreads = @convention(c) (Int32) -> Void

    private static let names = ["libopenblas.so.0", "libopenblas.so"]
    private static let rowMajor: Int32 = 101
    private static let plain: Int32 = 111
    private static let transposed: Int32 = 112

    private let product: SingleProduct
    private let eigenvectors: Eigenvectors

    /// Opens OpenBLAS and gives it `threads` threads.
    package init(threads: Int) throws(CalibrationError) {
        do throws(DynamicLibraryError) {
            let library = try DynamicLibrary(names: Self.names)
            unsafe product = try library.function("cblas_sgemm", as: SingleProduct.self)
            unsafe eigenvectors = try library.function("ssyevd_", as: Eigenvectors.self)
            let setThreads = try library.function(
                "openblas_set_num_threads", as: SetThreads.self)
            setThreads(Int32(clamping: threads))
        } catch {
            throw .library(error)
        }
    }

    /// Which factor of a product is transposed.
    package enum Factor { case first, second }

    /// `a · b`, one of them transposed before.
    package func multiply(_ a: Matrix, _ b: Matrix, transposing factor: Factor? = nil) -> Matrix {
        let (aTransposed, bTransposed) = (factor == .first, factor == .second)
        let (rows, inner) = aTransposed ? (a.columns, a.rows) : (a.rows, a.columns)
        let (bInner, columns) = bTransposed ? (b.columns, b.rows) : (b.rows, b.columns)
        precondition(inner == bInner, "shapes do not match")
        var result = Matrix(rows: rows, columns: columns)
        guard rows > 0, columns > 0, inner > 0 else { return result }
        unsafe a.values.withUnsafeBufferPointer { left in
            unsafe b.values.withUnsafeBufferPointer { right in
                unsafe result.values.withUnsafeMutableBufferPointer { sums in
                    unsafe product(
                        Self.rowMajor, aTransposed ? Self.transposed : Self.plain,
                        bTransposed ? Self.transposed : Self.plain, Int32(rows), Int32(columns),
                        Int32(inner), 1, left.baseAddress!, Int32(a.columns),
                        right.baseAddress!, Int32(b.columns), 0, sums.baseAddress!,
                        Int32(columns))
                }
            }
        }
        return result
    }

    /// Eigenvalues of a symmetric matrix, greatest first, and its eigenvectors as rows.
    ///
    /// - Throws: `CalibrationError.noConvergence` when LAPACK finds none, as for matrices with
    ///   numbers that are not finite.
    package func eigen(
        _ matrix: Matrix
    ) throws(CalibrationError) -> (values: [Float], vectors: Matrix) {
        precondition(matrix.rows == matrix.columns, "symmetric")
        // LAPACK says nothing of numbers that are none.
        guard matrix.values.allSatisfy(\.isFinite) else { throw .noConvergence }
        var order = Int32(matrix.rows)
        var vectors = matrix
        var values = [Float](repeating: 0, count: matrix.rows)
        // The sizes that ssyevd documents for eigenvectors.
        let count = matrix.rows
        var work = [Float](repeating: 0, count: 1 + 6 * count + 2 * count * count)
        var integers = [Int32](repeating: 0, count: 3 + 5 * count)
        var (workCount, integerCount) = (Int32(work.count), Int32(integers.count))
        var status: Int32 = 0
        let (job, triangle) = (CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "U")))
        unsafe withUnsafePointer(to: job) { job in
            unsafe withUnsafePointer(to: triangle) { triangle in
                unsafe eigenvectors(
                    job, triangle, &order, &vectors.values, &order, &values, &work, &workCount,
                    &integers, &integerCount, &status, 1, 1)
            }
        }
        guard status == 0, values.allSatisfy(\.isFinite) else { throw .noConvergence }
        // LAPACK's columns are our rows; its smallest come first.
        var descending = Matrix(rows: count, columns: count)
        for row in 0..<count {
            descending.values.replaceSubrange(
                row * count..<(row + 1) * count, with: vectors.row(count - 1 - row))
        }
        return (values.reversed(), descending)
    }
}
