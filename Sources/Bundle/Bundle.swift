public enum Bundle { static func isBundleFolder(_ p: String) -> Bool { false } }
