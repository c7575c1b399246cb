#!/usr/bin/env python3
"""MiniLM, batch 1, 128 tokens: this project against onnxruntime and OpenVINO, in turns, in one run.

    python Benchmarks/minilm.py --bessemer .build/release/bessemer --model .cache/minilm [--threads 2] [--rounds 7]

Needs torch, transformers, onnx, onnxscript, onnxruntime and openvino. Prints the least time of each and the ratios.
Run it on an idle machine: with a neighbour on the cores only the ratios of one round mean anything.
"""
import argparse, json, os, subprocess, tempfile, time
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--bessemer", default=".build/release/bessemer")
parser.add_argument("--model", default=".cache/minilm")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--runs", type=int, default=40)
a = parser.parse_args()

import torch, onnxruntime
from transformers import AutoModel
folder = tempfile.mkdtemp()
model = AutoModel.from_pretrained(a.model, dtype=torch.float32, attn_implementation="eager").eval()
generator = np.random.default_rng(1)
ids = generator.integers(1000, 30000, (1, a.tokens)).astype(np.int64)
mask = np.ones_like(ids)
feeds = {"input_ids": ids, "attention_mask": mask}


class Wrapped(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


path = os.path.join(folder, "minilm.onnx")
torch.onnx.export(Wrapped(), (torch.from_numpy(ids), torch.from_numpy(mask)), path, input_names=list(feeds),
                  output_names=["last_hidden_state"], opset_version=18, dynamo=False)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = a.threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
expected = session.run(None, feeds)[0]

runners = {"onnxruntime f32": lambda: session.run(None, feeds)}
try:
    import openvino
    core = openvino.Core()
    for name, kind in (("openvino f32", "f32"), ("openvino bf16", "bf16")):
        compiled = core.compile_model(path, "CPU", {
            "INFERENCE_NUM_THREADS": a.threads, "INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        runners[name] = lambda request=request: request.infer([ids, mask])
except ImportError:
    print("openvino is not installed; left out")

arguments = []
for name, array in feeds.items():
    np.save(os.path.join(folder, name + ".npy"), array)
    arguments += ["--input", f"{name}={folder}/{name}.npy"]


def rest():
    """Lets the threads of whoever ran before stop spinning."""
    time.sleep(1)


def least(run):
    rest()
    run()
    best = float("inf")
    for _ in range(a.runs):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def ours(compute):
    rest()
    command = [a.bessemer, "run", a.model, *arguments, "--json", "--repeat", str(a.runs), "--threads", str(a.threads),
               "--compute", compute, "--output", folder + "/out", "--overwrite"]
    out = subprocess.run(command, check=True, capture_output=True)
    return json.loads(out.stdout)["least_seconds"]


best = {}
for _ in range(a.rounds):
    for name, run in runners.items():
        best[name] = min(best.get(name, 9e9), least(run))
    for compute in ("float32", "bfloat16"):
        name = "bessemer " + compute
        best[name] = min(best.get(name, 9e9), ours(compute))
        if compute == "float32":
            error = np.abs(np.load(folder + "/out/last_hidden_state.npy") - expected).max()
for name, seconds in best.items():
    print(f"{name:20s} {seconds * 1e3:8.3f} ms")
print(f"largest difference to onnxruntime, float32: {error:.2e}")
print(f"float32: {best['onnxruntime f32'] / best['bessemer float32']:.3f} times onnxruntime's speed")
if "openvino bf16" in best:
    print(f"bfloat16: {best['openvino bf16'] / best['bessemer bfloat16']:.3f} times OpenVINO bf16's speed")
