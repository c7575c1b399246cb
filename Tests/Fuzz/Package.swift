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
      "FuzzBundle", "FuzzConfiguration", "FuzzGGUF", "FuzzGraph", "FuzzHDF5", "FuzzIndex", "FuzzJSON", "FuzzMap",
      "FuzzMindSpore", "FuzzModelGGUF", "FuzzNPY", "FuzzNPZ", "FuzzONNX", "FuzzPackage", "FuzzPNG", "FuzzPyTorch",
      "FuzzSafetensors", "FuzzStrategy", "FuzzTemplate", "FuzzTokenizer", "FuzzVocabulary", "FuzzYAML",
    ]
    .map { name in
      .executableTarget(
        name: name,
        dependencies: [
          "FuzzSupport", .product(name: "Converter", package: "bessemer"),
          .product(name: "Digests", package: "bessemer"),
        ],
        swiftSettings: [.unsafeFlags(["-parse-as-library"])])
    }
)
