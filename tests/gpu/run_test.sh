#!/usr/bin/env bash
# run.sh where there is no GPU: rows are skipped, none passes, and the exit code tells.
set -uo pipefail
if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
  echo "SKIPPED: this machine has an NVIDIA driver"
  exit 0
fi
pack="$(mktemp -d)"
trap 'rm -rf "$pack"' EXIT
mkdir "$pack/bin" "$pack/lib"
fail() { echo "FAILED: $*"; exit 1; }
for mode in --minutes=1 --side-by-side; do
  output="$(tests/gpu/run.sh "$mode" --pack="$pack" --out="$pack/$mode" --only=ops,captured,throughput_32,memcheck 2>&1)"
  code=$?
  echo "$output"
  ((code == 3)) || fail "exit code $code, not 3"
  [[ "$(tail -n 1 <<<"$output")" == "0 passed, 0 failed, 4 skipped" ]] || fail "the last line"
  grep -q "NOTHING RAN ON A GPU: no NVIDIA driver" <<<"$output" || fail "it does not say that nothing ran"
  (($(grep -c "skipped .* no NVIDIA driver" <<<"$output") == 4)) || fail "the rows do not say why"
  (($(grep -c '"result": "skipped"' "$pack/$mode/results.json") == 4)) || fail "results.json"
done
