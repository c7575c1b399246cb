#!/usr/bin/env python3
"""Times conversions of a large checkpoint against cp, in turns within one run, and prints ratios.

  convert.py --bessemer PATH [--folder FOLDER] [--gigabytes 4] [--rounds 3] [--shapes FILE.json ...]
             [--mindspore PYTHON]

FOLDER gets checkpoints of random numbers, and everything is removed at the end; on a disk, cp is also timed with a
sync of its output, as conversions sync theirs. Ratios are the best of pairs, a conversion and the cp before it. SHAPES
are JSON objects of names and shapes, whose tensors fill the checkpoint in order and are planned as a whole, as sparse
files; without them it is made of matrices of 64 MiB. PYTHON, one with MindSpore, runs its own safetensors_to_ckpt for
comparison. An index of 1,000 shards with 100,000 tensors is listed too. Needs numpy.
"""
import argparse
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time


def header(tensors, dtype, size):
    """Header of a safetensors file of (name, shape), and the bytes of its data."""
    end, entries = 0, {}
    for name, shape in tensors:
        count = size * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + count]}
        end += count
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, end


def write(path, tensors, dtype, size, seed):
    """A checkpoint of normal numbers; the same 64 MiB of them again and again, shifted."""
    head, count = header(tensors, dtype, size)
    # In a process of its own: what is measured later would inherit its peak of memory.
    if process := os.fork():
        if os.waitpid(process, 0)[1]:
            sys.exit("the checkpoint was not written")
        return
    import numpy as np
    block = np.random.default_rng(seed).standard_normal(16 << 20, dtype=np.float32)
    block = block.view(np.uint16)[1::2].copy() if size == 2 else block
    data = block.tobytes()
    with open(path, "wb") as file:
        file.write(head)
        done = 0
        while done < count:
            start = done // len(data) % 61 * size * 1000
            piece = data[start : start + min(len(data) - start, count - done)]
            file.write(piece)
            done += len(piece)
    os._exit(0)


def run(command, **options):
    """Seconds, peak of resident memory in MiB, seconds of processors."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    if status:
        sys.exit(f"{' '.join(command)}: {error.decode(errors='replace')[-800:]}")
    return time.monotonic() - start, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def plan(arguments, folder):
    """The whole layout as sparse files: seconds to plan it."""
    path = os.path.join(folder, "whole")
    os.mkdir(path)
    total = tensors = 0
    for index, name in enumerate(arguments.shapes):
        shapes = [(f"{index}.{key}", shape) for key, shape in json.load(open(name)).items()]
        head, count = header(shapes, "BF16", 2)
        with open(f"{path}/model-{index + 1:05}.safetensors", "wb") as file:
            file.write(head)
            file.truncate(len(head) + count)
        total, tensors = total + count // 2, tensors + len(shapes)
    command = [arguments.bessemer, "convert", path, folder + "/whole.ckpt", "--dtype", "f16", "--dry-run", "-q"]
    seconds, peak, _ = min(run(command) for _ in range(arguments.rounds))
    print(f"plan of {tensors} tensors, {total / 1e9:.1f} billion parameters: {seconds:.2f} s, {peak:.0f} MiB")


def listing(arguments, folder):
    """An index of 1,000 shards with 100,000 tensors: seconds to list it."""
    path = os.path.join(folder, "many")
    os.mkdir(path)
    places = {}
    for shard in range(1000):
        name = f"model-{shard + 1:05}-of-01000.safetensors"
        tensors = [(f"model.layers.{shard}.mlp.experts.{k}.down_proj.weight", [64, 32]) for k in range(100)]
        places.update({key: name for key, _ in tensors})
        head, count = header(tensors, "BF16", 2)
        with open(f"{path}/{name}", "wb") as file:
            file.write(head)
            file.truncate(len(head) + count)
    with open(path + "/model.safetensors.index.json", "w") as file:
        json.dump({"metadata": {"total_size": 100000 * 4096}, "weight_map": places}, file)
    command = [arguments.bessemer, "inspect", path + "/model.safetensors.index.json", "--weights-only"]
    seconds, peak, _ = min(run(command) for _ in range(max(5, arguments.rounds)))
    print(f"listing of 1000 shards with 100000 tensors: {seconds:.2f} s, {peak:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bessemer", required=True)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", nargs="*", default=[])
    parser.add_argument("--mindspore")
    arguments = parser.parse_args()
    arguments.bessemer = os.path.abspath(arguments.bessemer)
    folder = tempfile.mkdtemp(prefix="convert-", dir=arguments.folder)
    try:
        listing(arguments, folder)
        measure(arguments, folder)
    finally:
        shutil.rmtree(folder)


def measure(arguments, folder):
    if arguments.shapes:
        plan(arguments, folder)
        layout = [pair for name in arguments.shapes for pair in json.load(open(name)).items()]
    else:
        layout = [(f"layer.{k}.weight", [4096, 8192]) for k in range(4096)]

    def slice_of(size):
        tensors, left = [], arguments.gigabytes * 1e9
        for name, shape in layout:
            count = size * math.prod(shape)
            if count <= left:
                tensors.append((name, shape))
                left -= count
        return tensors

    def path(name):
        return os.path.join(folder, name)

    def remove(*names):
        for name in names:
            if os.path.exists(path(name)):
                os.unlink(path(name))

    half, full = path("half.safetensors"), path("full.safetensors")
    write(half, slice_of(2), "BF16", 2, 1)
    write(full, slice_of(4), "F32", 4, 2)
    convert = [arguments.bessemer, "convert", "-q", "--overwrite"]
    jobs = {
        "cp of 16-bit": ["cp", half, path("copy")],
        "cp of 32-bit": ["cp", full, path("copy")],
        "cp of 16-bit and sync": ["sh", "-c", f"cp {half} {path('copy')} && sync {path('copy')}"],
        "cp of 32-bit and sync": ["sh", "-c", f"cp {full} {path('copy')} && sync {path('copy')}"],
        "safetensors to ckpt": [*convert, half, path("a.ckpt")],
        "ckpt to safetensors": [*convert, path("a.ckpt"), path("b.safetensors")],
        "bf16 to f16": [*convert, half, path("b.safetensors"), "--dtype", "f16"],
        "f32 to bf16": [*convert, full, path("b.safetensors"), "--dtype", "bf16"],
        "f32 to f16": [*convert, full, path("b.safetensors"), "--dtype", "f16"],
    }
    against = {
        "safetensors to ckpt": "cp of 16-bit", "ckpt to safetensors": "cp of 16-bit", "bf16 to f16": "cp of 16-bit",
        "f32 to bf16": "cp of 32-bit", "f32 to f16": "cp of 32-bit",
    }
    if arguments.mindspore:
        source, target = path("source"), path("target")
        os.makedirs(source + "/rank_0")
        os.link(half, source + "/rank_0/half.safetensors")
        code = f"import mindspore; mindspore.safetensors_to_ckpt({source!r}, {target!r}, processes_num=2)"
        jobs["MindSpore's safetensors_to_ckpt"] = [arguments.mindspore, "-c", code]
        against["MindSpore's safetensors_to_ckpt"] = "cp of 16-bit"
    best, pairs, copies = {}, {}, {}
    for _ in range(arguments.rounds):
        for name, command in jobs.items():
            source = against.get(name)
            if not source:
                continue
            # cp just before, so that both have the machine as it is now.
            for other in (source, source + " and sync"):
                remove("copy")
                copies[other] = run(jobs[other])
                best[other] = min(best.get(other, copies[other]), copies[other])
            remove("copy", "b.safetensors", *(["a.ckpt"] if name == "safetensors to ckpt" else []))
            shutil.rmtree(path("target"), ignore_errors=True)
            result = run(command)
            best[name] = min(best.get(name, result), result)
            ratios = [copies[other][0] / result[0] for other in (source, source + " and sync")]
            pairs[name] = [max(pair) for pair in zip(pairs.get(name, (0, 0)), ratios)]
    print(f"{'':34}{'seconds':>9}{'processor':>11}{'MiB':>7}  times cp's speed   of cp and sync")
    for name, (seconds, peak, busy) in best.items():
        line = f"{name:34}{seconds:9.2f}{busy:11.2f}{peak:7.0f}"
        print(line + (f"{pairs[name][0]:18.2f}{pairs[name][1]:17.2f}" if name in pairs else ""))
    if arguments.mindspore:
        (theirs, peak, _), (ours, own, _) = best["MindSpore's safetensors_to_ckpt"], best["safetensors to ckpt"]
        print(f"MindSpore's takes {theirs / ours:.1f} times as long, {peak / own:.0f} times the memory")


if __name__ == "__main__":
    main()
