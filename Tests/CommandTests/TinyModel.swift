import Foundation
import Tensors
import Testing

/// Llama models of zeros, small or as large as is asked for; their weights' file is sparse.
struct TinyModel {
  var vocabulary = 16
  var width = 8
  var layers = 1
  var modelType = "llama"

  private var entries: [(name: String, shape: [Int])] {
    var list = [("model.embed_tokens.weight", [vocabulary, width]), ("model.norm.weight", [width])]
    for layer in 0..<layers {
      let prefix = "model.layers.\(layer)."
      for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        list.append((prefix + "self_attn.\(name).weight", [width, width]))
      }
      for name in ["gate_proj", "up_proj"] { list.append((prefix + "mlp.\(name).weight", [16, width])) }
      list.append((prefix + "mlp.down_proj.weight", [width, 16]))
      for name in ["input_layernorm", "post_attention_layernorm"] { list.append((prefix + name + ".weight", [width])) }
    }
    return list
  }

  var config: String {
    """
    {"model_type": "\(modelType)", "hidden_size": \(width), "intermediate_size": 16, "num_hidden_layers": \(layers),
     "num_attention_heads": 2, "vocab_size": \(vocabulary), "tie_word_embeddings": true, "torch_dtype": "float32"}
    """
  }

  /// Writes `config.json` and `model.safetensors` into the folder `name`.
  @discardableResult
  func write(to folder: Scratch, _ name: String) throws -> String {
    try folder.write(name + "/config.json", config)
    var offset = 0
    var json = JSONWriter(.compact)
    json.object { json in
      for entry in entries {
        let end = offset + entry.shape.reduce(4, *)
        json.object(entry.name) { json in
          json.member("dtype", "F32")
          json.array("shape", entry.shape)
          json.array("data_offsets", [offset, end])
        }
        offset = end
      }
    }
    let text = json.utf8 + [UInt8](repeating: 32, count: (8 - json.utf8.count % 8) % 8)
    let path = folder[name + "/model.safetensors"]
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
    _ = FileManager.default.createFile(atPath: path, contents: length + Data(text))
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: UInt64(8 + text.count + offset))
    try handle.close()
    return folder[name]
  }
}
