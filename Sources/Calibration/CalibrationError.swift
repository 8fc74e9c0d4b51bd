// Why a calibration could not be made. One line each; shown to users as it is.

package import LinuxSystem
package import Measurement
package import ModelFormat
package import Models

package enum CalibrationError: Error, Sendable, CustomStringConvertible {
    case library(DynamicLibraryError)
    /// The model has no layers whose activation makes most neurons' outputs 0.
    case notSparse(activation: String)
    /// Nor has its file bundles, so that silence would save nothing.
    case noBundles
    case oddWidth(Int)
    case tooFewTokens(found: Int, needed: Int)
    case noConvergence
    case neverFires(layer: Int)
    case format(FormatError)
    case system(SystemError)
    case evaluation(EvaluationError)
    case load(LoadError)

    package var description: String {
        switch self {
        case .library(let error):
            "calibration needs OpenBLAS: \(error) (package libopenblas0 or libopenblas-dev)"
        case .notSparse(let activation):
            "this model's neurons never stay silent: its activation is \(activation), and "
                + "predictors are for relu and relu2"
        case .noBundles:
            "the file has no neuron bundles to leave out: sluice import --neurons bundled makes "
                + "them"
        case .oddWidth(let width):
            "predictors need a width that is a multiple of 32, and this model's is \(width)"
        case .tooFewTokens(let found, let needed):
            "the text has \(found) tokens, and calibration needs at least \(needed)"
        case .noConvergence: "no predictor was found: activations are not finite numbers"
        case .neverFires(let layer): "no neuron of layer \(layer) fires for this text"
        case .format(let error): "\(error)"
        case .system(let error): "\(error)"
        case .evaluation(let error): "\(error)"
        case .load(let error): "\(error)"
        }
    }
}
