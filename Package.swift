// swift-tools-version: 6.2
// Sluice: language models bigger than the memory they are given. docs/ARCHITECTURE.md explains the
// targets.

import PackageDescription

/// Every Swift target is built in Swift 6 mode with strict memory safety, and a warning is an
/// error.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    // Spans returned from our own types; confined to LinuxSystem, Weights and Compute.
    .enableExperimentalFeature("Lifetimes")
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let arguments: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")

/// The programs carry Swift's runtime with them: they start in a third less memory, and run on
/// machines without Swift. (The same as --static-swift-stdlib, which would compile everything a
/// second time.)
let standalone: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib", "-l_FoundationCollections", "-l_FoundationCShims",
        "-lswiftSynchronization"
    ])
]

func layer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluiced", targets: ["sluiced"]),
        .executable(name: "sluice", targets: ["sluice"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // C: what Swift cannot reach.
        .systemLibrary(
            name: "CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .target(name: "CLinux"),
        .target(name: "CChecksum"),
        .target(name: "CKernels"),
        .target(name: "CPacking"),

        // The machine, and texts of others.
        layer("Memory", []),
        layer("LinuxSystem", ["CLinux", "CURing", "Memory"]),
        layer("JSON", []),
        layer("LineEditing", ["LinuxSystem"]),
        layer("ModelFormat", ["CChecksum", "JSON", "LinuxSystem", "Memory"]),
        layer("ModelFamilies", ["LinuxSystem", "ModelFormat"]),
        layer("Tokenization", ["LinuxSystem", "ModelFormat"]),
        layer("ChatTemplates", ["LinuxSystem"]),
        layer("AnswerParsing", ["JSON"]),
        layer("Constraints", ["JSON", "ModelFormat", "Tokenization"]),

        // What all sides of the service agree on.
        layer("GenerationAPI", ["LinuxSystem", "ModelFormat"]),
        layer("Knobs", ["GenerationAPI", "LinuxSystem", "Memory", "ModelFormat"]),

        // Reading, computing.
        layer("Compute", ["CKernels", "LinuxSystem", "Memory", "ModelFormat"]),
        layer("FlashStorage", ["JSON", "Knobs", "LinuxSystem", "Memory", "ModelFormat"]),
        layer(
            "SequenceState", ["Compute", "FlashStorage", "LinuxSystem", "Memory", "ModelFormat"]),
        layer("Weights", ["FlashStorage", "Knobs", "LinuxSystem", "Memory", "ModelFormat"]),
        layer(
            "Inference",
            [
                "Compute", "FlashStorage", "GenerationAPI", "Knobs", "LinuxSystem", "Memory",
                "ModelFormat", "SequenceState", "Weights"
            ]),
        layer(
            "Packing",
            [
                "CPacking", "ChatTemplates", "Compute", "LinuxSystem", "Memory", "ModelFamilies",
                "ModelFormat", "Tokenization"
            ]),

        layer("Fetching", ["LinuxSystem", "ModelFormat", "Packing"]),

        // A model that is loaded; serving it, measuring it.
        layer(
            "Models",
            [
                "AnswerParsing", "ChatTemplates", "Compute", "Constraints", "FlashStorage",
                "GenerationAPI", "Inference", "JSON", "Knobs", "LinuxSystem", "Memory",
                "ModelFormat", "SequenceState", "Tokenization", "Weights"
            ]),
        layer(
            "Serving",
            [
                "AnswerParsing", "Constraints", "FlashStorage", "GenerationAPI", "Inference",
                "Knobs", "LinuxSystem", "Memory", "ModelFormat", "Models", "SequenceState",
                "Tokenization", "Weights"
            ]),
        layer(
            "Measurement",
            [
                "FlashStorage", "GenerationAPI", "Inference", "Knobs", "LinuxSystem", "Memory",
                "ModelFormat", "Models", "SequenceState", "Tokenization", "Weights"
            ]),
        layer(
            "Calibration",
            [
                "Compute", "Inference", "Knobs", "LinuxSystem", "Measurement", "Memory",
                "ModelFormat", "Models", "Weights"
            ]),

        // The service and its client.
        layer(
            "HTTPInterface",
            ["GenerationAPI", "JSON", "LinuxSystem", "ModelFormat", nioCore, nioPosix, nioHTTP1]),
        layer(
            "Client",
            ["GenerationAPI", "JSON", "LinuxSystem", "ModelFormat", nioCore, nioPosix, nioHTTP1]),
        layer(
            "Library",
            ["GenerationAPI", "Knobs", "LinuxSystem", "ModelFormat", "SequenceState", "Weights"]),
        layer(
            "Service",
            [
                "FlashStorage", "GenerationAPI", "HTTPInterface", "Knobs", "Library",
                "LinuxSystem", "Memory", "ModelFormat", "Models", "Serving", nioCore, nioPosix,
                nioHTTP1
            ]),
        .executableTarget(
            name: "sluiced",
            dependencies: ["GenerationAPI", "Knobs", "LinuxSystem", "Service"],
            swiftSettings: strict, linkerSettings: standalone),
        .executableTarget(
            name: "sluice",
            dependencies: [
                "Calibration", "ChatTemplates", "Client", "Compute", "Fetching", "FlashStorage",
                "GenerationAPI", "JSON", "Knobs", "Library", "LineEditing", "LinuxSystem",
                "Measurement", "Memory", "ModelFormat", "Models", "Packing", "Serving",
                "Tokenization", "Weights", arguments
            ],
            swiftSettings: strict, linkerSettings: standalone),

        // Measuring tools for developers; not installed.
        .executableTarget(
            name: "kernel-benchmark",
            dependencies: ["Compute", "LinuxSystem", "Memory", "ModelFormat", arguments],
            path: "Benchmarks/KernelBenchmark", swiftSettings: strict),
        .target(
            name: "CacheSimulation", dependencies: ["Measurement", "Weights", "LinuxSystem"],
            path: "Benchmarks/CacheSimulation", swiftSettings: strict),
        .executableTarget(
            name: "cache-simulator",
            dependencies: [
                "CacheSimulation", "FlashStorage", "Measurement", "Weights", "LinuxSystem",
                "ModelFormat", arguments
            ],
            path: "Benchmarks/CacheSimulator", swiftSettings: strict),
        .executableTarget(
            name: "read-benchmark",
            dependencies: ["FlashStorage", "Knobs", "LinuxSystem", "Memory", arguments],
            path: "Benchmarks/ReadBenchmark", swiftSettings: strict),
        .executableTarget(
            name: "constraint-benchmark",
            dependencies: [
                "Constraints", "GenerationAPI", "Inference", "LinuxSystem", "ModelFormat",
                "Tokenization", arguments
            ],
            path: "Benchmarks/ConstraintBenchmark", swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["LinuxSystem", "Memory", "ModelFormat"],
            path: "Tests/TestSupport", swiftSettings: strict),

        tests("Memory", ["Memory"]),
        tests("LinuxSystem", ["LinuxSystem"]),
        tests("JSON", ["JSON"]),
        tests("ModelFormat", ["ModelFormat", "LinuxSystem", "ModelFamilies"]),
        tests("LineEditing", ["LineEditing"]),
        tests("AnswerParsing", ["AnswerParsing", "ChatTemplates", "JSON"]),
        tests(
            "Tokenization", ["Tokenization", "ChatTemplates", "LinuxSystem", "ModelFormat"]),
        tests(
            "Constraints",
            ["Constraints", "JSON", "LinuxSystem", "ModelFormat", "Tokenization"]),
        tests("Compute", ["Compute", "CKernels", "COpenBLAS", "LinuxSystem", "ModelFormat"]),
        tests(
            "Weights",
            [
                "Weights", "FlashStorage", "Knobs", "LinuxSystem", "Measurement", "Memory",
                "ModelFormat"
            ]),
        tests(
            "SequenceState",
            ["SequenceState", "FlashStorage", "Knobs", "LinuxSystem", "Memory", "ModelFormat"]),
        tests("CacheSimulation", ["CacheSimulation", "Measurement", "Weights"]),
        tests(
            "Packing",
            [
                "Packing", "Compute", "LinuxSystem", "ModelFamilies", "ModelFormat", "Tokenization"
            ]),
        tests("Fetching", ["Fetching", "LinuxSystem", "ModelFormat", "Packing"]),
        tests(
            "Inference",
            [
                "Inference", "Compute", "GenerationAPI", "Weights", "Packing", "LinuxSystem",
                "Memory", "ModelFormat", "SequenceState"
            ]),
        tests(
            "Serving",
            [
                "AnswerParsing", "Constraints", "Serving", "Measurement", "Models", "Inference",
                "Compute", "Weights", "FlashStorage", "Memory", "Knobs", "GenerationAPI",
                "Packing", "Tokenization", "LinuxSystem", "ModelFormat", "SequenceState"
            ]),
        tests(
            "Calibration",
            [
                "Calibration", "Measurement", "Models", "Inference", "Compute", "Weights",
                "FlashStorage", "Knobs", "Memory", "Packing", "Tokenization", "LinuxSystem",
                "ModelFormat"
            ]),
        tests(
            "HTTPInterface",
            [
                "HTTPInterface", "GenerationAPI", "Inference", "JSON", "LinuxSystem",
                "ModelFormat", nioCore, nioHTTP1, nioPosix
            ]),
        tests(
            "Service",
            [
                "Service", "Client", "Library", "Knobs", "HTTPInterface", "Serving", "Models",
                "Inference", "Weights", "FlashStorage", "GenerationAPI", "LinuxSystem", "Memory",
                "ModelFormat", nioCore, nioPosix
            ]),
        // The built programs as users run them, and the source tree's own rules.
        .target(name: "CRefusal", path: "Tests/CRefusal"),
        tests("Command", ["CRefusal", "Knobs", "LinuxSystem", "ModelFormat"]),
        tests("Tidy", [])
    ]
)
