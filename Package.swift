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
    // Spans returned from our own types; confined to LinuxSystem, WeightStore and Kernels.
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

        // Bottom: the machine, the file formats, text.
        layer("LinuxSystem", ["CLinux", "CURing"]),
        layer("ModelFormat", ["CChecksum"]),
        layer("ModelFiles", ["LinuxSystem", "ModelFormat"]),
        layer("LineEditing", ["LinuxSystem"]),
        layer("Tokenization", ["ModelFormat"]),

        // Middle: computing, streaming, packing.
        layer("Kernels", ["CKernels", "LinuxSystem", "ModelFormat"]),
        layer("WeightStore", ["LinuxSystem", "ModelFiles", "ModelFormat"]),
        layer(
            "Packing",
            [
                "CPacking", "Kernels", "Tokenization", "LinuxSystem", "ModelFiles", "ModelFormat"
            ]),
        layer("Inference", ["Kernels", "WeightStore", "LinuxSystem", "ModelFormat"]),
        layer(
            "Scheduling",
            [
                "Inference", "Kernels", "Tokenization", "WeightStore", "LinuxSystem", "ModelFiles",
                "ModelFormat"
            ]),

        layer(
            "Calibration",
            [
                "Scheduling", "Inference", "Kernels", "WeightStore", "LinuxSystem", "ModelFiles",
                "ModelFormat"
            ]),

        // Top: the service and its client.
        layer(
            "HTTPInterface",
            ["Scheduling", "Inference", "ModelFormat", nioCore, nioPosix, nioHTTP1]),
        layer(
            "DaemonCore",
            [
                "HTTPInterface", "Scheduling", "Inference", "Tokenization", "WeightStore",
                "LinuxSystem", "ModelFormat", nioCore, nioPosix, nioHTTP1
            ]),
        .executableTarget(
            name: "sluiced",
            dependencies: ["DaemonCore", "Scheduling", "LinuxSystem", arguments],
            swiftSettings: strict, linkerSettings: standalone),
        .executableTarget(
            name: "sluice",
            dependencies: [
                "Calibration", "DaemonCore", "HTTPInterface", "Packing", "Scheduling",
                "LineEditing", "Tokenization", "WeightStore", "Kernels", "LinuxSystem",
                "ModelFiles",
                "ModelFormat", nioCore, arguments
            ],
            swiftSettings: strict, linkerSettings: standalone),

        // Measuring tools for developers; not installed.
        .executableTarget(
            name: "kernel-benchmark",
            dependencies: ["Kernels", "LinuxSystem", "ModelFormat", arguments],
            path: "Benchmarks/KernelBenchmark", swiftSettings: strict),
        .target(
            name: "CacheSimulation", dependencies: ["WeightStore", "LinuxSystem"],
            path: "Benchmarks/CacheSimulation", swiftSettings: strict),
        .executableTarget(
            name: "cache-simulator",
            dependencies: [
                "CacheSimulation", "WeightStore", "LinuxSystem", "ModelFormat", arguments
            ],
            path: "Benchmarks/CacheSimulator", swiftSettings: strict),
        .executableTarget(
            name: "read-benchmark", dependencies: ["WeightStore", "LinuxSystem", arguments],
            path: "Benchmarks/ReadBenchmark", swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["LinuxSystem", "ModelFiles", "ModelFormat"],
            path: "Tests/TestSupport", swiftSettings: strict),

        tests("LinuxSystem", ["LinuxSystem"]),
        tests("ModelFormat", ["ModelFormat"]),
        tests("LineEditing", ["LineEditing"]),
        tests("Tokenization", ["Tokenization", "ModelFiles", "LinuxSystem", "ModelFormat"]),
        tests("Kernels", ["Kernels", "CKernels", "COpenBLAS", "LinuxSystem", "ModelFormat"]),
        tests("WeightStore", ["WeightStore", "LinuxSystem", "ModelFormat"]),
        tests("CacheSimulation", ["CacheSimulation", "WeightStore"]),
        tests("Packing", ["Packing", "Kernels", "LinuxSystem", "ModelFiles", "ModelFormat"]),
        tests("Inference", ["Inference", "Kernels", "WeightStore", "Packing", "ModelFormat"]),
        tests(
            "Scheduling",
            [
                "Scheduling", "Inference", "Kernels", "WeightStore", "Packing", "Tokenization",
                "LinuxSystem", "ModelFiles", "ModelFormat"
            ]),
        tests(
            "Calibration",
            [
                "Calibration", "Scheduling", "Inference", "Kernels", "WeightStore", "Packing",
                "Tokenization", "LinuxSystem", "ModelFiles", "ModelFormat"
            ]),
        tests("HTTPInterface", ["HTTPInterface", "Scheduling", nioCore, nioHTTP1, nioPosix]),
        tests(
            "DaemonCore",
            [
                "DaemonCore", "Scheduling", "WeightStore", "LinuxSystem", "ModelFormat", nioCore,
                nioPosix
            ]),
        // The built programs as users run them, and the source tree's own rules.
        .target(name: "CRefusal", path: "Tests/CRefusal"),
        tests("Command", ["CRefusal", "LinuxSystem", "ModelFormat"]),
        tests("Tidy", [])
    ]
)
