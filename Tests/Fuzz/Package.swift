// swift-tools-version: 6.0
import PackageDescription

/// Fuzz targets for what reads untrusted bytes. Each is a libFuzzer program of its own; `run.sh` builds and runs them,
/// with the sanitizers on for the libraries too.
let package = Package(
  name: "fuzz",
  dependencies: [.package(name: "bessemer", path: "../..")],
  targets: [
    .target(name: "FuzzSupport", dependencies: [.product(name: "Checkpoints", package: "bessemer")])
  ]
    + [
      "FuzzGGUF", "FuzzHDF5", "FuzzIndex", "FuzzJSON", "FuzzMindSpore", "FuzzNPZ", "FuzzONNX", "FuzzPNG",
      "FuzzPyTorch", "FuzzSafetensors", "FuzzStrategy", "FuzzYAML",
    ]
    .map { name in
      .executableTarget(
        name: name,
        dependencies: [
          "FuzzSupport", .product(name: "Images", package: "bessemer"),
          .product(name: "Safetensors", package: "bessemer"), .product(name: "YAML", package: "bessemer"),
        ],
        swiftSettings: [.unsafeFlags(["-parse-as-library"])])
    }
)
