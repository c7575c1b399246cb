#!/bin/sh
# Builds the fuzz targets and runs each: run.sh [SECONDS] [TARGET...]
# Seeds come from seeds/TARGET, from fixtures, and, if CORPUS names a folder of hostile files, from there; findings go
# to
# findings/.
set -eu
cd "$(dirname "$0")"
seconds=${1:-180}
[ $# -gt 0 ] && shift
all=$(cd Sources && ls -d Fuzz[!S]* FuzzSafetensors FuzzStrategy)
targets=${*:-$all}
scratch=${SCRATCH:-.build}
# A crash must end at once instead of starting a backtracer.
export SWIFT_BACKTRACE=enable=no
swift build -c release --scratch-path "$scratch" -Xswiftc -sanitize=fuzzer,address
mkdir -p findings
for target in $targets; do
  work="$scratch/corpus-$target"
  mkdir -p "$work"
  case $target in
    FuzzConfiguration) find ../../fixtures/models -name config.json -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzGGUF | FuzzModelGGUF)
      find ../../fixtures/checkpoints/gguf -name '*.gguf' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzGraph) cp ../../fixtures/graphs/*.txt "$work" ;;
    FuzzHDF5) find ../../fixtures/checkpoints/hdf5 -name '*.h5' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzMap | FuzzYAML) cp ../../fixtures/maps/*.yaml "$work" ;;
    FuzzMindSpore) find ../../fixtures/checkpoints ../../fixtures/mindspore -maxdepth 1 -name '*.ckpt' \
      -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzNPY) find ../../fixtures/checkpoints/npy -name '*.npy' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzNPZ) find ../../fixtures/checkpoints -name '*.npz' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzONNX) find ../../fixtures/checkpoints/onnx -name '*.onnx' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzPackage)
      find ../../fixtures/quantization/packages -name 'quant_model_description.json' \
        -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzPNG) find ../../fixtures/pictures -name '*.png' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzPyTorch) find ../../fixtures/checkpoints/pytorch -name '*.pt*' -exec cp --backup=numbered -t "$work" {} + ;;
    FuzzStrategy) cp ../../fixtures/mindspore/ranks/source.ckpt ../../fixtures/mindspore/ranks/*.json "$work" ;;
    FuzzTokenizer | FuzzVocabulary)
      find ../../fixtures/gguf/tokenizers -name 'tokenizer.*' -exec cp --backup=numbered -t "$work" {} + ;;
  esac
  if [ -n "${CORPUS:-}" ]; then
    case $target in
      FuzzGGUF | FuzzModelGGUF) find "$CORPUS/gguf" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzHDF5) find "$CORPUS/hdf5" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzJSON) find "$CORPUS" -type f -name '*.json' -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzMindSpore) find "$CORPUS/ckpt" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzONNX) find "$CORPUS/onnx" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzPyTorch) find "$CORPUS/torch" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
      FuzzSafetensors) find "$CORPUS/safetensors" -type f -size -20k -exec cp --backup=numbered -t "$work" {} + ;;
    esac
  fi
  seeds=$( [ -d "seeds/$target" ] && echo "seeds/$target" || true )
  dictionary=$( [ "$target" = FuzzTemplate ] && echo jinja.dict || echo json.dict )
  # shellcheck disable=SC2086
  "$scratch/release/$target" "$work" $seeds -dict="$dictionary" -max_total_time="$seconds" -max_len=65536 \
    -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -timeout=20 -print_final_stats=1 -artifact_prefix=findings/ 2>&1 | tail -n 12
done
