#!/usr/bin/env python3
"""A Llama of 0.4 billion parameters in bfloat16: this project against llama.cpp, in turns, in one run.

    python Benchmarks/make_llama.py .cache/llama
    python LLAMA_CPP/convert_hf_to_gguf.py .cache/llama --outtype bf16 --outfile .cache/llama.gguf
    python Benchmarks/llama.py --bessemer bin/bessemer --model .cache/llama \\
        --llama-bench LLAMA_CPP/build/bin/llama-bench --gguf .cache/llama.gguf [--threads 2] [--rounds 5]

llama-bench is llama.cpp's own, built for this machine (-DGGML_NATIVE=ON, Release). Both read 512 tokens, and write 128
from the start of a text, `--runs` times a round, and the best of all counts. The machine's multiply-add rate
is measured between the rounds by Benchmarks/kernels. So is its read bandwidth, of memory that the probe allocates;
where pages lie changes it on some machines, so that of the weights themselves is measured too, in the process that
writes and right after. Run it on an idle machine; needs nothing but Python.

Prints tokens per second of both and their ratios; of ours also the weights read a second while writing as a part of
both bandwidths, and the arithmetic while reading as a part of the measured peak. Where bfloat16 products are
computed in hardware (instruction sets that end in bf16), the peak is twice that of float32: each instruction takes in
twice as many products. For other matrix units (AMX) no peak is given.
"""
import argparse, json, os, re, struct, subprocess, time

parser = argparse.ArgumentParser()
parser.add_argument("--bessemer", default="bin/bessemer")
parser.add_argument("--model", default=".cache/llama")
parser.add_argument("--llama-bench", required=True)
parser.add_argument("--gguf", default=".cache/llama.gguf")
parser.add_argument("--compute", default="bfloat16")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--runs", type=int, default=4, help="at least 2")
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--write", type=int, default=128)
a = parser.parse_args()
kernels = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels")


def limits():
    """The instruction set, multiply-adds as operations a second, bytes read a second."""
    command = ["make", "-s", "-C", kernels, "run", f"ARGS=threads={a.threads} shape=1,1,1"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\w+), \d+ threads: .* peak (\S+) GFLOP/s, read bandwidth (\S+) GB/s", out)
    return found[1], float(found[2]) * 1e9, float(found[3]) * 1e9


def generate(prompt, count):
    # Each character is a token, and the beginning token is one more.
    text = ("The quick brown fox. " * (prompt // 21 + 1))[:prompt - 1]
    command = [a.bessemer, "generate", a.model, "-p", text, "-n", str(count), "--ignore-eos", "--json",
               "--repeat", str(a.runs), "-j", str(a.threads), "--compute", a.compute]
    out = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert out["prompt_tokens"] == prompt and out["new_tokens"] == count
    return out


def ours():
    written = generate(2, a.write + 1)
    read = written["decode_tokens_per_second"] * written["weight_bytes"]
    reading.append((read / written["weight_read_bytes_per_second"], written["weight_read_bytes_per_second"]))
    return generate(a.prompt, 2)["prefill_tokens_per_second"], written["decode_tokens_per_second"]


def theirs():
    command = [a.llama_bench, "-m", a.gguf, "-p", str(a.prompt), "-n", str(a.write), "-t", str(a.threads),
               "-r", str(a.runs), "-o", "json", "-fa", "1"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    rate = lambda row: max(row["samples_ts"])
    return next(rate(r) for r in rows if r["n_gen"] == 0), next(rate(r) for r in rows if r["n_prompt"] == 0)


def weights():
    """Bytes of the matrices that a token goes through, and their elements; and those of the last one, which a prompt
    goes through once."""
    path = os.path.join(a.model, "model.safetensors")
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    sizes = {name: entry["data_offsets"][1] - entry["data_offsets"][0] for name, entry in header.items()
             if name != "__metadata__" and len(entry["shape"]) == 2 and "embed_tokens" not in name}
    return sum(sizes.values()), sum(sizes.values()) // 2, sizes["lm_head.weight"] // 2


reading = []  # of each round, the part of the bandwidth of the weights' memory that was used, and that bandwidth
best = {"peak": 0, "bandwidth": 0, "ours": (0, 0), "theirs": (0, 0)}
for _ in range(a.rounds):
    isa, peak, bandwidth = limits()
    best["peak"], best["bandwidth"] = max(best["peak"], peak), max(best["bandwidth"], bandwidth)
    for name, run in (("ours", ours), ("theirs", theirs)):
        time.sleep(1)
        best[name] = tuple(map(max, best[name], run()))
read, elements, last = weights()
peak = best["peak"] * (2 if isa.endswith("bf16") and a.compute == "bfloat16" else 1)
operations = 2 * (elements - last) + 2 * last / a.prompt
print(f"{isa}, {a.threads} threads, {a.compute}: peak {peak / 1e9:.0f} GFLOP/s, "
      f"read bandwidth {best['bandwidth'] / 1e9:.1f} GB/s")
print(f"{'':24s}{'bessemer':>12s}{'llama.cpp':>12s}{'ratio':>8s}")
for k, name in enumerate((f"read {a.prompt}, tokens/s", f"write {a.write}, tokens/s")):
    print(f"{name:24s}{best['ours'][k]:12.2f}{best['theirs'][k]:12.2f}{best['ours'][k] / best['theirs'][k]:8.3f}")
if isa != "amx":
    print(f"reading: {100 * operations * best['ours'][0] / peak:.1f} % of the peak, attention not counted")
most = max([best["bandwidth"], *(rate for _, rate in reading)])
print(f"writing: {read / 1e6:.0f} MB of weights a token, {100 * read * best['ours'][1] / most:.1f} % of the most read "
      f"bandwidth of the run, {most / 1e9:.1f} GB/s; round by round of that of the weights "
      + ", ".join(f"{100 * part:.1f} % of {rate / 1e9:.1f} GB/s" for part, rate in reading))
