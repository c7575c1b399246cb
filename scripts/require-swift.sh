#!/bin/bash
# Says what to do when there is no Swift toolchain, or one that is too old.
set -euo pipefail
swift=${1:-swift}
if ! command -v "$swift" >/dev/null; then
  echo "There is no \`$swift\` on the path. Bessemer needs Swift 6.3: https://www.swift.org/install/linux/" >&2
  exit 1
fi
version=$("$swift" --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+)\.([0-9]+).*/\1 \2/p' | head -n 1)
read -r major minor <<<"${version:-0 0}"
if ((major < 6 || (major == 6 && minor < 3))); then
  echo "Bessemer needs Swift 6.3, this is $major.$minor: https://www.swift.org/install/linux/" >&2
  exit 1
fi
