#!/bin/bash
# Takes a small trained model the whole way and checks the results against the reference's: demo.sh BESSEMER
set -euo pipefail
bessemer=$(realpath "$1")
cd "$(dirname "$0")/.."
model=fixtures/models/tiny-glm4
out=.build/demo
bundle=$out/tiny-glm4.bundle
ascend=$out/tiny-glm4-910B3.bundle
mkdir -p "$out"

step=0
heading() {
  step=$((step + 1))
  printf '\n%s. %s\n' "$step" "$1"
}

# Shows a command as one would type it, runs it, and shows at most so many lines of its output.
show() {
  local limit=$1
  shift
  printf '   $ bessemer'
  printf ' %q' "$@" | sed 's/\\ / /g'
  printf '\n'
  "$bessemer" --progress off "$@" >"$out/output" 2>&1 || { sed 's/^/   /' "$out/output" && exit 1; }
  local lines
  lines=$(wc -l <"$out/output")
  head -n "$limit" "$out/output" | sed 's/^/   /'
  if ((lines > limit)); then echo "   … $((lines - limit)) more lines"; fi
}

# The number after a name in a JSON text.
number() { sed -nE "/\"$1\":/{s/.*\"$1\": *([-0-9.e+]+).*/\1/p;q}" "$2"; }

# Compares a number with the reference's: WHAT OURS THEIRS ALLOWED-DIFFERENCE
failed=0
hold() {
  local verdict=same
  if ! awk -v a="$2" -v b="$3" -v limit="$4" \
    'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d <= limit) }'; then
    verdict=DIFFERENT
    failed=1
  fi
  awk -v what="$1" -v a="$2" -v b="$3" -v v="$verdict" \
    'BEGIN { printf "   %-12s %10.6f   reference %10.6f   %s\n", what, a, b, v }'
}

echo "A GLM-4 of 2 million parameters, trained on sorting, reversing, adding and little stories."

heading "What the checkpoint holds"
show 6 inspect "$model"

heading "The graph is built, fused and written as a bundle"
"$bessemer" --progress off export "$model" "$bundle" --overwrite >"$out/output" 2>&1 || { cat "$out/output" && exit 1; }
echo "   \$ bessemer export $model $bundle"
grep -E '^(operator|attention|linear|matmul|mul|rms_norm|rotary_embedding|softmax|swiglu|all|wrote|[0-9.]+ [KMG]iB) ' \
  "$out/output" | sed 's/^/   /'

heading "Every byte is checked against the manifest"
show 4 verify "$bundle"

heading "The bundle gives what the checkpoint's unfused graph gives"
show 4 compare "$model" "$bundle" --no-fuse

heading "Questions that it was not trained on"
sed -nE '1,3s/.*"prompt": "([^"\\]*)".*/\1/p' "$model/questions.jsonl" >"$out/prompts"
while read -r prompt; do
  "$bessemer" --quiet generate "$bundle" -p "$prompt" | sed 's/^/   /'
done <"$out/prompts"

heading "Its scores are those of the reference implementation"
"$bessemer" --progress off --json eval "$bundle" --data "$model/heldout.txt" >"$out/perplexity.json"
"$bessemer" --progress off --json eval "$bundle" --data "$model/questions.jsonl" >"$out/exact.json"
reference=$(number perplexity "$model/reference.json")
thousandth=$(awk -v p="$reference" 'BEGIN { print p / 1000 }')
hold "perplexity" "$(number perplexity "$out/perplexity.json")" "$reference" "$thousandth"
# One question of 300.
hold "exact match" "$(number exact_match "$out/exact.json")" "$(number exact_match_all "$model/reference.json")" 0.0034

heading "The same model for an Ascend 910B3: its own fused operators take over"
"$bessemer" --progress off export "$model" "$ascend" --target Ascend910B3 --overwrite >"$out/output" 2>&1 ||
  { cat "$out/output" && exit 1; }
echo "   \$ bessemer export $model $ascend --target Ascend910B3"
grep -E '^(operator|ascend\.[A-Za-z]+|all|wrote) ' "$out/output" | sed 's/^/   /'
show 4 compare "$bundle" "$ascend"

heading "For MindSpore: the weights as a .ckpt, each one traced to where it comes from"
show 4 convert "$model" "$out/tiny-glm4.ckpt" --overwrite
show 4 verify "$out/tiny-glm4.ckpt" --source "$model"

heading "For vLLM-Ascend: eight bits, checked by its rules, and what that cost"
"$bessemer" --progress off quantize "$model" "$out/tiny-glm4-w8a8" w8a8-dynamic --overwrite >"$out/output" 2>&1 ||
  { cat "$out/output" && exit 1; }
echo "   \$ bessemer quantize $model $out/tiny-glm4-w8a8 w8a8-dynamic"
tail -n 2 "$out/output" | sed 's/^/   /'
show 4 check "$out/tiny-glm4-w8a8" --for vllm-ascend
"$bessemer" --progress off eval "$out/tiny-glm4-w8a8" "$model" --data "$model/heldout.txt" \
  --questions "$model/questions.jsonl" >"$out/output" 2>/dev/null || { cat "$out/output" && exit 1; }
echo "   \$ bessemer eval $out/tiny-glm4-w8a8 $model --data $model/heldout.txt --questions $model/questions.jsonl"
grep -E '^( .*source|size|bits|perplexity  |top-1|KL divergence, mean|exact)' "$out/output" | sed 's/^/   /'

echo
if ((failed)); then
  echo "The demo FAILED: a score is not the reference's." >&2
  exit 1
fi
echo "Everything agrees. What was made is in $out."
