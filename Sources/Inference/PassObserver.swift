// Who watches forward passes, and where they may be changed: measurements, calibration, and those
// who no longer want the result. What nobody asks for is nil, and costs nothing.

package import Compute
package import LinuxSystem

/// What is told of every pass, and asked.
package final class PassObserver {
    /// Told each layer's routing: the layer, and tokens × experts per token, best first.
    package var onRouting: ((_ layer: Int, _ experts: [Int32]) -> Void)?
    /// Told each dense network's input and its first projection before the activation, tokens ×
    /// neurons: the layer, both, and the tokens. Neurons that it sets to 0 do not fire.
    package var onNeurons:
        ((Int, borrowing ProductInput, inout Buffer<Float>, _ tokens: Int) -> Void)?
    /// Told whom each prediction computes: the layer, and its neurons.
    package var onPrediction: ((Int, Span<Int32>) -> Void)?
    /// Asked now and then while a prompt is computed: whether nobody wants it any more.
    package var isCancelled: (() -> Bool)?
    /// Chooses experts instead of the model's routers, for measurements: nil leaves it to them.
    package var uniformRouting: UniformRouting?

    package init() {}
}
