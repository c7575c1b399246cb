/// The exit status of the command line for a class of errors.
public enum ExitStatus: Int32, Sendable {
  case success = 0
  case checkFailed = 1
  case usage = 2
  case corruptInput = 3
  case unsupported = 4
  case resource = 5
  case unexplained = 6
  case interrupted = 130
}

/// Every class of error that a person can meet. The raw value is what the error line shows between brackets.
public enum ErrorCode: String, Sendable, CaseIterable {
  // Usage.
  case usage
  case outputExists = "output-exists"
  case outputIsInput = "output-is-input"
  case plan
  case weightMap = "weight-map"
  // Unreadable or corrupt input.
  case fileMissing = "file-missing"
  case fileUnreadable = "file-unreadable"
  case notRegularFile = "not-a-regular-file"
  case inputChanged = "input-changed"
  case wrongFormat = "wrong-format"
  case truncated
  case header
  case json
  case yaml
  case duplicateName = "duplicate-name"
  case tensorEntry = "tensor-entry"
  case tensorLayout = "tensor-layout"
  case shardIndex = "shard-index"
  case pickle
  case pathEscape = "path-escape"
  case config
  case weights
  case graphText = "graph-text"
  case graph
  case bundle
  case digest
  case key
  case image
  case strategy
  case tokenizer
  case template = "chat-template"
  case modelInput = "model-input"
  // Unsupported.
  case unsupportedModel = "unsupported-model"
  case unsupportedType = "unsupported-type"
  case unsupportedOp = "unsupported-op"
  case unsupportedTarget = "unsupported-target"
  case unsupportedFeature = "unsupported-feature"
  // Resources.
  case limit
  case memory
  case diskFull = "disk-full"
  case outputFailed = "output-failed"
  // Verdicts.
  case comparison
  case unexplained
  case interrupted

  /// The exit status that the command line ends with.
  public var exitStatus: ExitStatus {
    switch self {
    case .usage, .outputExists, .outputIsInput, .plan, .weightMap: .usage
    case .unsupportedModel, .unsupportedType, .unsupportedOp, .unsupportedTarget, .unsupportedFeature: .unsupported
    case .limit, .memory, .diskFull, .outputFailed: .resource
    case .comparison: .checkFailed
    case .unexplained: .unexplained
    case .interrupted: .interrupted
    default: .corruptInput
    }
  }

  /// What the error means and what to do about it, for `bessemer explain`.
  public var explanation: String {
    switch self {
    case .usage: "The command line is wrong. `bessemer help COMMAND` shows what it takes."
    case .outputExists:
      "Something stands where the output should go. Nothing was touched. Choose another path or pass --overwrite."
    case .outputIsInput: "The output path names one of the inputs, directly or through a link. Choose another path."
    case .plan:
      "A plan of quantization is not what it should be, or is for another model: it names each linear layer of its "
        + "model once. `bessemer quantize plan` writes one, see docs/QUANTIZATION.md."
    case .weightMap:
      "The rules of a map and the checkpoint do not fit: a rule that matches nothing, names that collide, shapes that "
        + "do not fit, or with --strict a tensor that no rule names. --verbose lists all; docs/MAPS.md has the rules."
    case .fileMissing:
      "A file that is needed does not exist. Check the path; a sharded model needs every shard its index names."
    case .fileUnreadable: "The operating system refused to read the file. Check its permissions and the disk."
    case .notRegularFile: "The path is a directory, pipe, socket or device where a regular file is needed."
    case .inputChanged:
      "The file changed, or shrank, while it was read. Let the download or the copy end first, then run again."
    case .wrongFormat: "The file is not of the format it was taken for; the message says what it looks like."
    case .truncated: "The file ends before its contents do, as after a broken download. Fetch it again."
    case .header: "The length or layout fields at the start of the file contradict the file itself."
    case .json:
      "The text is not strict JSON (RFC 8259, UTF-8, no duplicate keys), or a member has another type than called for."
    case .yaml:
      "The text is not YAML, or uses anchors, aliases, tags or keys that occur twice, which are never read."
    case .duplicateName: "A name occurs twice. Readers differ in which one they would take, so none is taken."
    case .tensorEntry: "A tensor's entry lacks a field, has a surplus one, or one of the wrong kind."
    case .tensorLayout:
      "Tensor data overlaps, leaves a hole, lies outside the file, or has another size than type and shape say."
    case .shardIndex: "The index and its shards disagree, or the index is malformed."
    case .pickle:
      "The pickle in a PyTorch file is damaged, or does not say what torch.save says. Nothing in it is ever run."
    case .pathEscape: "A file names another file outside its own folder. Such references are never followed."
    case .config: "config.json lacks a value, or has one that cannot be right; the message names it."
    case .weights:
      "The checkpoint does not hold exactly the tensors that its configuration calls for; the message lists them."
    case .graphText: "The text of a graph does not parse; the message names line and column."
    case .graph: "A graph breaks a rule of its operators; the label (`softmax_c1`) is documented at the operator."
    case .bundle: "The bundle's manifest and its files disagree."
    case .digest: "The content of a file is not what its digest says: it was damaged or edited."
    case .template:
      "The model's chat template cannot be read, or does not take these messages. Its own words stand in the message."
    case .key:
      "The file is encrypted, and its key was not given, has the wrong length, or is another one."
    case .image: "The picture is damaged, or was cut off. Save it again, or fetch it again."
    case .strategy: "The strategy of a distributed checkpoint is malformed, or does not fit its ranks."
    case .tokenizer: "tokenizer.json is malformed or uses a component that is not known."
    case .modelInput: "An input given to a model has the wrong name, type, shape or values."
    case .unsupportedModel: "The model type is not among those that `bessemer formats` lists."
    case .unsupportedType: "The element type cannot be used here."
    case .unsupportedOp: "The operator is not known, or not with these attributes."
    case .unsupportedTarget: "The target is not among those that `bessemer formats` lists."
    case .unsupportedFeature: "The file is valid but uses something that is not supported."
    case .limit: "The input exceeds a limit that protects against runaway files; docs/SECURITY.md lists them."
    case .memory: "The work needs more memory than --max-memory or the machine allows."
    case .diskFull: "The disk or the quota is full. Nothing was left behind."
    case .outputFailed: "The output could not be created or written. Nothing was left behind."
    case .comparison: "Two results differ by more than the threshold."
    case .unexplained: "A tensor of the output has no known relation to its source."
    case .interrupted: "The command was stopped by a signal. Nothing was left behind."
    }
  }
}
