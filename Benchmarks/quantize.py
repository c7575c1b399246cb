#!/usr/bin/env python3
"""Times quantize of a model of random numbers, W8A8-dynamic to the nearest, against llama.cpp's Q8_0 and msModelSlim,
in turns within one run, and prints ratios of bytes of the source a second.

  quantize.py --bessemer PATH [--llama LIBLLAMA] [--msmodelslim PYTHON --tokenizer FOLDER] [--folder FOLDER]
              [--gigabytes 2] [--rounds 3]

LIBLLAMA is libllama.so, whose llama_model_quantize runs in a process of its own; PYTHON has msModelSlim, which gets a
model of a twentieth of the size, with a tokenizer's files from the FOLDER of any model. Needs numpy.
"""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

HIDDEN, INNER, HEADS = 2048, 5632, 16
LLAMA = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
class Parameters(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("type", ctypes.c_int32), ("rest", ctypes.c_byte * 512)]
lib.llama_model_quantize_default_params.restype = Parameters
parameters = lib.llama_model_quantize_default_params()
parameters.threads, parameters.type = int(sys.argv[4]), 7
lib.llama_backend_init()
assert lib.llama_model_quantize(sys.argv[2].encode(), sys.argv[3].encode(), ctypes.byref(parameters)) == 0
"""


def model(folder, gigabytes):
    """A folder of a Llama model in bfloat16; returns its bytes."""
    os.makedirs(folder)
    layer = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    layers = max(1, int(gigabytes * 1e9 / layer))
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=HIDDEN, intermediate_size=INNER,
        num_hidden_layers=layers, num_attention_heads=HEADS, num_key_value_heads=HEADS, vocab_size=256,
        max_position_embeddings=512, rms_norm_eps=1e-5, torch_dtype="bfloat16", tie_word_embeddings=False,
        hidden_act="silu", bos_token_id=0, eos_token_id=1)
    json.dump(config, open(f"{folder}/config.json", "w"))
    shapes = [("model.embed_tokens.weight", [256, HIDDEN])]
    for k in range(layers):
        for name, shape in [("self_attn.q_proj", [HIDDEN, HIDDEN]), ("self_attn.k_proj", [HIDDEN, HIDDEN]),
                            ("self_attn.v_proj", [HIDDEN, HIDDEN]), ("self_attn.o_proj", [HIDDEN, HIDDEN]),
                            ("mlp.gate_proj", [INNER, HIDDEN]), ("mlp.up_proj", [INNER, HIDDEN]),
                            ("mlp.down_proj", [HIDDEN, INNER]), ("input_layernorm", [HIDDEN]),
                            ("post_attention_layernorm", [HIDDEN])]:
            shapes.append((f"model.layers.{k}.{name}.weight", shape))
    shapes += [("model.norm.weight", [HIDDEN]), ("lm_head.weight", [256, HIDDEN])]
    entries, end = {}, 0
    for name, shape in shapes:
        size = 2 * int(np.prod(shape))
        entries[name] = dict(dtype="BF16", shape=shape, data_offsets=[end, end + size])
        end += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    noise = (np.random.default_rng(1).standard_normal(INNER * HIDDEN + 65536, dtype=np.float32) * 0.02)
    noise = noise.view(np.uint16)[1::2].copy()
    with open(f"{folder}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for index, (_, shape) in enumerate(shapes):
            count = int(np.prod(shape))
            start = index * 997 % 65536
            file.write(noise[start : start + count].tobytes())
    return end


def run(command, **options):
    """Seconds, peak of resident memory in MiB."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    if status != 0:
        sys.exit(f"{command[0]} failed: {error.decode()[-500:]}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bessemer", required=True)
    parser.add_argument("--llama")
    parser.add_argument("--msmodelslim")
    parser.add_argument("--tokenizer")
    parser.add_argument("--folder")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    folder = tempfile.mkdtemp(dir=options.folder)
    try:
        size = model(f"{folder}/model", options.gigabytes)
        rates = {}

        def note(name, count, seconds, peak):
            rates.setdefault(name, []).append(count / seconds / 1e6)
            print(f"{name}: {seconds:.2f} s, {count / seconds / 1e6:.0f} MB/s, peak {peak:.0f} MiB", flush=True)

        def clean(name):
            path = f"{folder}/{name}"
            shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)

        if options.llama:
            script = f"{folder}/llama.py"
            open(script, "w").write(LLAMA)
            run([options.bessemer, "convert", f"{folder}/model", f"{folder}/model.gguf", "--to", "gguf"])
        for _ in range(options.rounds):
            threads = ["--threads", str(options.threads)]
            command = [options.bessemer, "quantize", f"{folder}/model", f"{folder}/out", "w8a8-dynamic", *threads]
            note("bessemer w8a8-dynamic", size, *run(command))
            clean("out")
            if options.llama:
                command = [sys.executable, script, options.llama, f"{folder}/model.gguf", f"{folder}/q8.gguf"]
                note("llama.cpp q8_0", size, *run([*command, str(options.threads)]))
                clean("q8.gguf")
        if options.msmodelslim:
            small = model(f"{folder}/small", options.gigabytes / 20)
            for name in os.listdir(options.tokenizer):
                if name.startswith(("tokenizer", "vocab", "merges", "special")):
                    shutil.copy(f"{options.tokenizer}/{name}", f"{folder}/small")
            recipe = f"{folder}/recipe.yaml"
            open(recipe, "w").write(RECIPE)
            os.chmod(recipe, 0o600)
            command = [options.msmodelslim, "-m", "msmodelslim.cli", "quant", "--model_type", "default", "--model_path",
                       f"{folder}/small", "--save_path", f"{folder}/slim", "--device", "cpu", "--config_path", recipe,
                       "--trust_remote_code", "False"]
            slim = dict(os.environ, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
            note("msmodelslim w8a8_dynamic", small, *run(command, env=slim))
        best = {name: max(values) for name, values in rates.items()}
        for name, rate in best.items():
            print(f"bessemer is {best['bessemer w8a8-dynamic'] / rate:.2f} times {name}")
    finally:
        shutil.rmtree(folder)


RECIPE = """apiversion: modelslim_v1
metadata:
  config_id: rate
  score: 50
  verified_model_types: []
  label: {w_bit: 8, a_bit: 8, is_sparse: False, kv_cache: False}
spec:
  runner: model_wise
  process:
    - type: linear_quant
      qconfig:
        act: {scope: per_token, dtype: int8, symmetric: True, method: minmax}
        weight: {scope: per_channel, dtype: int8, symmetric: True, method: minmax}
      include: ["*_proj*"]
  save: [{type: ascendv1_saver, part_file_size: 4}]
"""

if __name__ == "__main__":
    main()
