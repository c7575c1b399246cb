#!/bin/bash
# Installs the packages of a list that are missing: install-packages.sh [LIST]. Without LIST what a build needs.
# Does nothing, and asks nothing of the network, when all are there.
set -euo pipefail
cd "$(dirname "$0")"
list=${1:-packages.txt}

missing=()
while read -r package; do
  case $package in '' | '#'*) continue ;; esac
  state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $state == ii* ]] || missing+=("$package")
done <"$list"
[ ${#missing[@]} -gt 0 ] || exit 0

run=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "Packages are missing. Install them with:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  run=(sudo -n)
fi
echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${run[@]}" apt-get update &&
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
  >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "The packages could not be installed: ${missing[*]}" >&2
  exit 1
fi
