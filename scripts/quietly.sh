#!/bin/bash
# Runs a command and shows its output only on a terminal, or when it fails: quietly.sh WHAT COMMAND...
set -euo pipefail
what=$1
shift
start=$SECONDS
if [ -t 1 ]; then
  "$@"
else
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  echo "$what …"
  if ! "$@" >"$log" 2>&1; then
    grep -E '(error|warning):' "$log" | sort -u | head -n 40 >&2 || true
    echo "$what failed; the end of its output:" >&2
    tail -n 40 "$log" >&2
    exit 1
  fi
fi
echo "$what took $((SECONDS - start)) s"
