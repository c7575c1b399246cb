public import Checkpoints

/// How a checkpoint is converted.
public struct ConversionOptions: Sendable {
  /// The format to write, by name; nil for the one that the output's name ends like.
  public var format: String?
  /// The types that tensors are cast to.
  public var types = TypeRules()
  /// Maps to apply one after the other: names of built-in ones, or files.
  public var maps: [String] = []
  /// Whether names and metadata stay also where a model would be translated, from a folder into a GGUF file or back.
  public var keepsNames = false
  /// Whether a tensor that no rule of a map names is an error.
  public var isStrict = false
  /// The most bytes of tensors in a file; the output is then a folder.
  public var shardByteCount: Int?
  /// Whether a folder that is not finished stays, so that the same conversion goes on with it.
  public var resumes = false
  /// Whether a cast that changes a value is an error.
  public var isLossless = false
  /// A file that gets a line on each tensor of the output.
  public var ledger: String?
  /// How the input is read.
  public var reading = ReadOptions()
  /// What is asked of the format that is written.
  public var writing = WriteOptions()
  public var overwrite = false
  public var resources = Resources()

  public init() {}
}
