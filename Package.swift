// swift-tools-version: 6.1
import PackageDescription

/// Every Swift target is built with the same rules: warnings are errors, imports are internal unless said otherwise.
let settings: [SwiftSetting] = [
  .unsafeFlags(["-warnings-as-errors"]),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// libhdf5 and what it needs, out of archives: as shared libraries they would bring thirty others, and take longer to
/// start than most commands run.
#if arch(arm64)
  let hdf5Folder = "/usr/lib/aarch64-linux-gnu/hdf5/serial"
#else
  let hdf5Folder = "/usr/lib/x86_64-linux-gnu/hdf5/serial"
#endif
let hdf5: [LinkerSetting] = [
  .unsafeFlags(["-L\(hdf5Folder)"]), .linkedLibrary(":libhdf5.a"), .linkedLibrary(":libsz.a"),
  .linkedLibrary(":libaec.a"),
  .linkedLibrary("z"), .linkedLibrary("m"), .linkedLibrary("dl"),
]

/// Layers, lowest first; a target may import only what stands above it in this list.
let package = Package(
  name: "bessemer",
  products: [
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Converter", targets: ["Converter"]),
    .library(name: "Digests", targets: ["Digests"]),
    .library(name: "IR", targets: ["IR"]),
    .library(name: "Images", targets: ["Images"]),
    .library(name: "Passes", targets: ["Passes"]),
    .library(name: "Safetensors", targets: ["Safetensors"]),
    .library(name: "Tensors", targets: ["Tensors"]),
    .library(name: "YAML", targets: ["YAML"]),
    .executable(name: "bessemer", targets: ["bessemer"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CHDF5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CYaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .target(name: "CKernels"),
    .target(name: "CPNG", linkerSettings: [.linkedLibrary("png")]),
    .target(name: "CSystem"),
    .target(name: "Tensors", dependencies: ["CKernels", "CSystem"], swiftSettings: settings),
    .target(name: "Digests", dependencies: ["CCrypto", "Tensors"], swiftSettings: settings),
    .target(name: "Safetensors", dependencies: ["Tensors"], swiftSettings: settings),
    .target(
      name: "Checkpoints", dependencies: ["CCrypto", "CHDF5", "CZlib", "Safetensors", "Tensors"],
      swiftSettings: settings, linkerSettings: hdf5),
    .target(name: "YAML", dependencies: ["CYaml", "Tensors"], swiftSettings: settings),
    .target(name: "IR", dependencies: ["Tensors"], swiftSettings: settings),
    .target(name: "Tokenizers", dependencies: ["Tensors"], swiftSettings: settings),
    .target(name: "Images", dependencies: ["CPNG", "Tensors"], swiftSettings: settings),
    .target(name: "Passes", dependencies: ["IR", "Tensors"], swiftSettings: settings),
    .target(name: "Architectures", dependencies: ["IR", "Tensors"], swiftSettings: settings),
    .target(name: "Quantization", dependencies: ["CKernels", "IR", "Tensors"], swiftSettings: settings),
    .target(
      name: "Bundle", dependencies: ["CZstd", "CSystem", "Digests", "IR", "Safetensors", "Tensors"],
      swiftSettings: settings),
    .target(
      name: "Runtime", dependencies: ["CKernels", "IR", "Images", "Tensors", "Tokenizers"], swiftSettings: settings),
    .target(
      name: "Validation", dependencies: ["CKernels", "Digests", "IR", "Runtime", "Tensors", "Tokenizers"],
      swiftSettings: settings),
    .target(
      name: "Converter",
      dependencies: [
        "Architectures", "Bundle", "CCrypto", "CKernels", "CZstd", "Checkpoints", "Digests", "IR", "Images", "Passes",
        "Quantization", "Runtime", "Safetensors", "Tensors", "Tokenizers", "Validation", "YAML",
      ], swiftSettings: settings),
    .executableTarget(
      name: "bessemer",
      dependencies: [
        "Checkpoints", "Converter", "Digests", "IR", "Passes", "Runtime", "Tensors", "Tokenizers", "Validation",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: settings),
    .testTarget(name: "CommandTests", dependencies: ["bessemer", "Safetensors", "Tensors"], swiftSettings: settings),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(name: "DigestsTests", dependencies: ["Digests", "Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "SafetensorsTests", dependencies: ["Safetensors", "Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "CheckpointsTests", dependencies: ["Checkpoints", "Safetensors", "Tensors", "TestSupport"],
      swiftSettings: settings),
    .testTarget(name: "IRTests", dependencies: ["IR", "Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "TokenizersTests", dependencies: ["Tokenizers", "Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "BundleTests", dependencies: ["Bundle", "Digests", "IR", "Safetensors", "Tensors", "TestSupport"],
      swiftSettings: settings),
    .testTarget(name: "ImagesTests", dependencies: ["Images", "Tensors", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "PassesTests", dependencies: ["Architectures", "IR", "Passes", "Tensors", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "ArchitecturesTests",
      dependencies: [
        "Architectures", "IR", "Images", "Passes", "Runtime", "Safetensors", "Tensors", "TestSupport", "Tokenizers",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "QuantizationTests", dependencies: ["Quantization", "Safetensors", "Tensors", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "RuntimeTests",
      dependencies: ["Architectures", "IR", "Images", "Passes", "Runtime", "Tensors", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "ValidationTests", dependencies: ["Tensors", "TestSupport", "Validation"], swiftSettings: settings),
    .testTarget(
      name: "ConverterTests",
      dependencies: [
        "Checkpoints", "Converter", "Digests", "IR", "Quantization", "Runtime", "Safetensors", "Tensors",
        "TestSupport", "Tokenizers", "Validation", "YAML",
      ],
      swiftSettings: settings),
    .testTarget(name: "TidyTests", dependencies: ["IR", "Tensors", "TestSupport"], swiftSettings: settings),
    .target(name: "TestSupport", dependencies: ["Tensors"], path: "Tests/TestSupport", swiftSettings: settings),
  ],
  cLanguageStandard: .gnu17
)
