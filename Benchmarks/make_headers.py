#!/usr/bin/env python3
"""Writes checkpoints of real size that hold no weights: headers of safetensors, and files that end far behind them
without taking room on the disk. Graphs can be built and rewritten from them.

    python Benchmarks/make_headers.py pangu FOLDER                          Pangu Pro MoE, 72 billion parameters
    python Benchmarks/make_headers.py shapes SHAPES.json CONFIG.json FOLDER  any list of names and shapes

SHAPES.json is an object of shapes by name, CONFIG.json becomes config.json. Needs nothing but Python.
"""
import json, os, struct, sys


def pangu():
    """Source: arXiv 2505.21411, and the names in vLLM Ascend's pangu_moe.py."""
    c = dict(
        model_type="PanguProMoE", architectures=["PanguProMoEForCausalLM"], vocab_size=153376, hidden_size=5120,
        num_hidden_layers=48, num_attention_heads=40, num_key_value_heads=8, hidden_act="silu", rms_norm_eps=1e-5,
        max_position_embeddings=131072, rope_theta=16000000.0, tie_word_embeddings=False, moe_intermediate_size=1344,
        shared_expert_intermediate_size=5376, num_experts=64, num_experts_per_tok=8)
    h, size = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": [c["vocab_size"], h]}

    def gated(name, inner):
        for part, shape in (("gate", [inner, h]), ("up", [inner, h]), ("down", [h, inner])):
            shapes[f"{name}.{part}_proj.weight"] = shape

    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}"
        shapes[f"{p}.input_layernorm.weight"] = shapes[f"{p}.post_attention_layernorm.weight"] = [h]
        for part, heads in (("q", "num_attention_heads"), ("k", "num_key_value_heads"), ("v", "num_key_value_heads")):
            shapes[f"{p}.self_attn.{part}_proj.weight"] = [c[heads] * size, h]
            shapes[f"{p}.self_attn.{part}_proj.bias"] = [c[heads] * size]
        shapes[f"{p}.self_attn.o_proj.weight"], shapes[f"{p}.self_attn.o_proj.bias"] = [h, h], [h]
        shapes[f"{p}.mlp.gate.weight"] = [c["num_experts"], h]
        shapes[f"{p}.mlp.router_scale"] = [1, c["num_experts"]]
        for expert in range(c["num_experts"]):
            gated(f"{p}.mlp.experts.{expert}", c["moe_intermediate_size"])
        gated(f"{p}.mlp.shared_expert", c["shared_expert_intermediate_size"])
    shapes["model.norm.weight"], shapes["lm_head.weight"] = [h], [c["vocab_size"], h]
    return c, shapes


if len(sys.argv) == 3 and sys.argv[1] == "pangu":
    config, shapes = pangu()
elif len(sys.argv) == 5 and sys.argv[1] == "shapes":
    shapes, config = (json.load(open(path)) for path in sys.argv[2:4])
else:
    sys.exit(__doc__)
folder = sys.argv[-1]
os.makedirs(folder, exist_ok=True)
entries, offset = {}, 0
for name, shape in shapes.items():
    count = 1
    for n in shape:
        count *= n
    entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + 2 * count]}
    offset += 2 * count
header = json.dumps(entries).encode()
header += b" " * (-len(header) % 8)
with open(os.path.join(folder, "model.safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header)
    file.truncate(8 + len(header) + offset)
with open(os.path.join(folder, "config.json"), "w") as file:
    json.dump(config, file, indent=1)
print(f"{len(shapes)} tensors, {offset // 2:,} parameters")
