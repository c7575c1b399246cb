#!/usr/bin/env python3
"""Times quantize with GPTQ and AWQ against msModelSlim, in turns within one run, on the same model, data and threads.

  calibrated.py --bessemer PATH --msmodelslim PYTHON --model FOLDER --data FILE [--adapter NAME]
                [--methods gptq,awq] [--rounds 1] [--threads N]

FOLDER is a model in float32, which msModelSlim's GPTQ needs, with a tokenizer that has a padding token; FILE is a
.jsonl file with `inputs_pretokenized`. NAME is msModelSlim's adapter, `default` for GPTQ; AWQ needs one such as
Qwen3-8B and a model of that family. msModelSlim's AWQ chooses scales alone, and so does ours here.
"""
import argparse
import os
import shutil
import tempfile

from quantize import run

WEIGHT = {"gptq": "method: gptq", "awq": "method: minmax"}
RECIPE = """apiversion: modelslim_v1
metadata:
  config_id: rate
  score: 50
  verified_model_types: []
  label: {w_bit: 4, a_bit: 8, is_sparse: False, kv_cache: False}
spec:
  runner: model_wise
  process:
%s    - type: linear_quant
      qconfig:
        act: {scope: per_token, dtype: int8, symmetric: True, method: minmax}
        weight: {scope: per_channel, dtype: int4, symmetric: True, %s}
      include: ["*_proj*"]
  dataset: %s
  save: [{type: ascendv1_saver, part_file_size: 4}]
"""
AWQ = """    - type: awq
      weight_qconfig: {scope: per_channel, dtype: int4, symmetric: True, method: minmax}
      include: ["*"]
"""


def main():
    parser = argparse.ArgumentParser()
    for name in ("bessemer", "msmodelslim", "model", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--adapter", default="default")
    parser.add_argument("--methods", default="gptq,awq")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    seconds = {}
    try:
        data = shutil.copy(options.data, f"{folder}/data.jsonl")
        os.chmod(data, 0o600)
        for method in options.methods.split(","):
            recipe = f"{folder}/{method}.yaml"
            open(recipe, "w").write(RECIPE % (AWQ if method == "awq" else "", WEIGHT[method], data))
            os.chmod(recipe, 0o600)
            how = ["--method", "gptq"] if method == "gptq" else ["--smooth", "awq-scales"]
            ours = [options.bessemer, "quantize", options.model, f"{folder}/out", "w4a8-dynamic", *how,
                    "--calibration", data, "--threads", str(options.threads)]
            theirs = [options.msmodelslim, "-m", "msmodelslim.cli", "quant", "--model_type", options.adapter,
                      "--model_path", options.model, "--save_path", f"{folder}/slim", "--device", "cpu",
                      "--config_path", recipe, "--trust_remote_code", "False"]
            slim = dict(os.environ, TORCH_DEVICE_BACKEND_AUTOLOAD="0", OMP_NUM_THREADS=str(options.threads))
            for _ in range(options.rounds):
                for name, command, extra in (("bessemer", ours, {}), ("msmodelslim", theirs, {"env": slim})):
                    time, peak = run(command, **extra)
                    load = os.getloadavg()[0]
                    print(f"{name} {method}: {time:.1f} s, peak {peak:.0f} MiB, load {load:.1f}", flush=True)
                    seconds.setdefault((method, name), []).append(time)
                    for made in ("out", "slim"):
                        shutil.rmtree(f"{folder}/{made}", ignore_errors=True)
            best = {name: min(seconds[method, name]) for name in ("bessemer", "msmodelslim")}
            print(f"{method}: bessemer is {best['msmodelslim'] / best['bessemer']:.2f} times msModelSlim")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
