// swift-tools-version: 6.1
import PackageDescription

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
