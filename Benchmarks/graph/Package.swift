// swift-tools-version: 6.1
import PackageDescription

/// How long a graph of 100,000 nodes takes to build, print, parse, verify and fuse; together it should be less than a
/// second. `swift run -c release --package-path Benchmarks/graph`
let package = Package(
  name: "graph",
  dependencies: [.package(name: "bessemer", path: "../..")],
  targets: [
    .executableTarget(
      name: "graph",
      dependencies: [
        .product(name: "IR", package: "bessemer"), .product(name: "Passes", package: "bessemer"),
        .product(name: "Tensors", package: "bessemer"),
      ])
  ]
)
