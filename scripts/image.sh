#!/bin/bash
# Makes pictures with a tiny random GLM-Image and holds them against those that diffusers made: image.sh BESSEMER
set -euo pipefail
bessemer=$(realpath "$1")
cd "$(dirname "$0")/.."
model=fixtures/image/model
ref=fixtures/image/ref
out=.build/image
mkdir -p "$out"

# Makes one picture: WHAT NAME ARGUMENTS
make_picture() {
  local name=$2
  printf '\n%s\n   $ bessemer image %s -o %s' "$1" "$model" "$out/$name.png"
  shift 2
  for word in "$@"; do
    if [[ $word == *[\ \"]* ]]; then word=${word@Q}; fi
    printf ' %s' "$word"
  done
  printf '\n'
  "$bessemer" image "$model" "$@" -o "$out/$name.png" --overwrite --progress off \
    --steps 3 --width 96 --height 64 --latents "$ref/noise.npy" --reference "$ref/$name.png" 2>&1 | sed 's/^/   /'
}

echo "A GLM-Image of $(du -sh "$model" | cut -f1) with random weights: noise in, and noise out, but the right one."
make_picture "1. A picture of a text" t2i -p "A sign 'ok' and \"Hi 你\""
make_picture "2. A picture that follows the text alone" plain -p "the cat on it" --guidance 1
make_picture "3. A picture edited" edit -p "the cat on it" --image "$ref/source.png"

bundle=$out/tiny.bundle
printf '\n4. The same from a bundle\n'
"$bessemer" export "$model" "$bundle" --overwrite --progress off | tail -n 2 | sed 's/^/   /'
model=$bundle
make_picture "5. The picture of the bundle" edit -p "the cat on it" --image "$ref/source.png"
printf '\nAll pictures are those of diffusers. They are in %s.\n' "$out"
